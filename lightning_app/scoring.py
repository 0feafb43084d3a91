"""What a validation or a test counts: by domain, by part of a joined one, and by image."""

from collections.abc import Sequence
from typing import cast

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torchmetrics import Metric

from datamodules.batch import DomainBatch
from lightning_app.calibration import Calibration
from lightning_app.image_scores import ImageScore, ImageScores
from lightning_app.metrics import ConfusionMatrix, Scores, count_pairs


class Scoring(nn.Module):
    """Collects predictions and makes scores of them.

    Args:
        classes: the class names, in the order of the ids.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = classes
        self.matrices = nn.ModuleDict()
        self.calibrations = nn.ModuleDict()
        self.images = ImageScores()

    def add(self, prediction: Tensor, confidence: Tensor, batch: DomainBatch) -> None:
        """Counts the pixels of one batch.

        Args:
            prediction: (B, H, W) class ids.
            confidence: (B, H, W) float32, the largest probability of each pixel.
            batch: the batch predicted, with its masks; all of one part of one domain.
        """
        domain, part, mask = str(batch["domain"]), batch.get("part", ""), batch["mask"]
        place = f"{domain}/{part}" if part else domain
        key = place.replace(".", "·")  # torch allows no dots in the names of modules
        if key not in self.matrices:
            # Made when the first image comes: every rank has some of every part, in the same order.
            self.matrices[key] = ConfusionMatrix(len(self.classes)).to(mask.device)
            self.calibrations[key] = Calibration().to(mask.device)
        counts = count_pairs(prediction, mask, len(self.classes))
        cast(ConfusionMatrix, self.matrices[key]).update(counts)
        cast(Calibration, self.calibrations[key]).update(confidence, prediction, mask)
        self.images.add(domain, part, batch["name"], counts)

    def reset(self) -> None:
        """Forgets what was counted."""
        for metric in (*self.matrices.values(), *self.calibrations.values()):
            cast(Metric, metric).reset()
        self.images.reset()

    def scores(self, shared: Sequence[str] | None) -> tuple[dict[str, Scores], list[ImageScore]]:
        """Returns the scores of what was counted, on all ranks together, and forgets it.

        Args:
            shared: the classes that both domains have.

        Returns:
            By place: ``source``, ``target``, and ``target/<part>`` for each part of a joined domain, behind the whole.
            And the images, on rank 0.
        """
        counted: dict[str, tuple[Tensor, Tensor]] = {}
        for key, matrix in self.matrices.items():
            if cast(ConfusionMatrix, matrix).update_called:
                calibration = cast(Calibration, self.calibrations[key])
                counted[key] = cast(ConfusionMatrix, matrix).compute(), calibration.compute()
        images = self.images.gather()
        self.reset()
        whole: dict[str, tuple[Tensor, Tensor]] = {}
        for key, (counts, bins) in list(counted.items()):
            if "/" in key and not counts.any():
                rank_zero_warn(
                    f"{key.replace('·', '.')}: every pixel of the masks is 255 (ignore), so it has no score."
                )
                del counted[key]
            domain = key.partition("/")[0]
            before = whole.get(domain, (0, 0))
            whole[domain] = before[0] + counts, before[1] + bins
        places: dict[str, tuple[Tensor, Tensor]] = {}
        for domain, sums in whole.items():
            places[domain] = sums
            places |= {key: of_part for key, of_part in counted.items() if key.startswith(f"{domain}/")}
        scores = {
            key.replace("·", "."): Scores.from_confusion(counts, self.classes, shared, bins)
            for key, (counts, bins) in places.items()
        }
        return scores, images

"""The confusion matrices of a validation or a test: one for each domain, and for each part of a joined one."""

from collections.abc import Sequence
from typing import cast

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from datamodules.batch import DomainBatch
from lightning_app.metrics import ConfusionMatrix, Scores


class Scoring(nn.Module):
    """Collects predictions and makes scores of them.

    Args:
        classes: the class names, in the order of the ids.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = classes
        self.matrices = nn.ModuleDict()

    def add(self, prediction: Tensor, batch: DomainBatch) -> None:
        """Counts the pixels of one batch.

        Args:
            prediction: (B, H, W) class ids.
            batch: the batch predicted, with its masks; all of one part of one domain.
        """
        part = batch.get("part", "")
        place = f"{batch['domain']}/{part}" if part else str(batch["domain"])
        key = place.replace(".", "·")  # torch allows no dots in the names of modules
        if key not in self.matrices:
            # Made when the first image comes: every rank has some of every part, in the same order.
            self.matrices[key] = ConfusionMatrix(len(self.classes)).to(prediction.device)
        cast(ConfusionMatrix, self.matrices[key]).update(prediction, batch["mask"])

    def reset(self) -> None:
        """Forgets what was counted."""
        for matrix in self.matrices.values():
            cast(ConfusionMatrix, matrix).reset()

    def scores(self, shared: Sequence[str] | None) -> dict[str, Scores]:
        """Returns the scores of what was counted, on all ranks together, and forgets it.

        Args:
            shared: the classes that both domains have.

        Returns:
            By place: ``source``, ``target``, and ``target/<part>`` for each part of a joined domain, behind the whole.
        """
        counted: dict[str, Tensor] = {}
        for key, matrix in self.matrices.items():
            if cast(ConfusionMatrix, matrix).update_called:
                counted[key] = cast(ConfusionMatrix, matrix).compute()
        self.reset()
        whole: dict[str, Tensor] = {}
        for key, counts in list(counted.items()):
            if "/" in key and not counts.any():
                rank_zero_warn(
                    f"{key.replace('·', '.')}: every pixel of the masks is 255 (ignore), so it has no score."
                )
                del counted[key]
            domain = key.partition("/")[0]
            whole[domain] = whole[domain] + counts if domain in whole else counts
        places: dict[str, Tensor] = {}
        for domain, counts in whole.items():
            places[domain] = counts
            places |= {key: counts for key, counts in counted.items() if key.startswith(f"{domain}/")}
        return {
            key.replace("·", "."): Scores.from_confusion(counts, self.classes, shared) for key, counts in places.items()
        }

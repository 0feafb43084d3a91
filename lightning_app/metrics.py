"""Scores of a segmentation from one confusion matrix, summed over the whole set and all ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics import Metric

from datamodules.batch import IGNORE, DomainName
from lightning_app.bands import bands
from lightning_app.calibration import expected_calibration_error


def score_places(domain: DomainName, parts: Sequence[str]) -> list[str]:
    """Returns what is scored of a domain: the whole and, where several are joined in it, each part."""
    return [domain, *(f"{domain}/{part}" for part in parts if part)]


def count_pairs(prediction: Tensor, mask: Tensor, classes: int) -> Tensor:
    """Counts the pixels of each image by (true class, predicted class); pixels of class 255 are left out.

    Args:
        prediction: (B, H, W) class ids.
        mask: (B, H, W) int64 class ids, 255 = ignore.
        classes: number of classes.

    Returns:
        (B, classes, classes) int64, rows = truth, columns = prediction.
    """
    images, pairs = len(mask), classes**2 + 1  # the last one is of ignored pixels
    first = torch.arange(0, images * pairs, pairs, device=mask.device).view(-1, 1, 1)
    counts = torch.zeros(images * pairs, dtype=torch.int64, device=mask.device)
    for predicted, true in bands(prediction, mask):
        ids = (true * classes + predicted).masked_fill_(true == IGNORE, classes**2).add_(first)
        counts += torch.bincount(ids.flatten(), minlength=images * pairs)
    return counts.view(images, pairs)[:, :-1].view(images, classes, classes)


class ConfusionMatrix(Metric):
    """Sums the pixel counts of images by (true class, predicted class).

    Args:
        classes: number of classes.
    """

    full_state_update = False
    counts: Tensor
    """(classes, classes) int64, rows = truth, columns = prediction."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(classes, classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, counts: Tensor) -> None:
        """Adds the counts (B, classes, classes) of some images, as ``count_pairs`` gives them."""
        self.counts = self.counts + counts.sum(dim=0)

    def compute(self) -> Tensor:
        """Returns the counts."""
        return self.counts


@dataclass(frozen=True)
class Scores:
    """Scores over a whole set, each in [0, 1].

    A class that occurs neither in the masks nor in the predictions has no score: it is left out of the means and of
    ``iou`` and ``dice``, and named in ``absent``.

    Attributes:
        miou: mean over the classes of intersection / union.
        shared_miou: the same over the classes that both domains have, where those are not all; predictions of other
            classes count as errors. NaN if there is no pixel of any of them.
        pixel_accuracy: share of the counted pixels whose class is right.
        mean_dice: mean over the classes of 2 · intersection / (true + predicted).
        iou: intersection over union by class name.
        dice: Dice coefficient by class name.
        absent: classes without a single pixel.
        pixels: number of counted pixels.
        confusion: pixels by true class (outer) and predicted class (inner).
        calibration: pixels, summed confidence and right pixels of each bin of confidence; empty if not counted.
        ece: expected calibration error, the mean distance of confidence and accuracy; None if not counted.
    """

    miou: float
    pixel_accuracy: float
    mean_dice: float
    iou: dict[str, float]
    dice: dict[str, float]
    absent: list[str]
    pixels: int
    confusion: list[list[int]]
    calibration: list[list[float]]
    ece: float | None = None
    shared_miou: float | None = None

    @classmethod
    def from_confusion(
        cls,
        matrix: Tensor,
        classes: Sequence[str],
        shared: Sequence[str] | None = None,
        calibration: Tensor | None = None,
    ) -> "Scores":
        """Computes the scores.

        Args:
            matrix: (classes, classes) pixel counts, rows = truth, columns = prediction.
            classes: the class names, in the order of the ids.
            shared: the classes that both domains have; None or all of them: there is no score of its own.
            calibration: (bins, 3) as ``Calibration`` gives it; None if confidences were not counted.

        Raises:
            ValueError: if no pixel was counted, so that no score exists.
        """
        counts = matrix.double().cpu()
        total = counts.sum()
        if total == 0:
            raise ValueError("Every pixel of the masks is 255 (ignore), so there is nothing to score. Check the masks.")
        intersection, true, predicted = counts.diag(), counts.sum(1), counts.sum(0)
        present = (true + predicted) > 0
        iou = intersection / (true + predicted - intersection)
        dice = 2 * intersection / (true + predicted)
        names = [name for name, there in zip(classes, present.tolist(), strict=True) if there]
        in_both = present & torch.tensor([shared is None or name in shared for name in classes])
        partly = shared is not None and len(shared) < len(classes)
        bins = [] if calibration is None else calibration.tolist()
        return cls(
            miou=iou[present].mean().item(),
            pixel_accuracy=(intersection.sum() / total).item(),
            mean_dice=dice[present].mean().item(),
            iou=dict(zip(names, iou[present].tolist(), strict=True)),
            dice=dict(zip(names, dice[present].tolist(), strict=True)),
            absent=[name for name in classes if name not in names],
            pixels=int(total.item()),
            confusion=counts.long().tolist(),
            calibration=bins,
            ece=expected_calibration_error(bins) if bins else None,
            shared_miou=iou[in_both].mean().item() if partly else None,
        )

    def named(self, prefix: str) -> dict[str, float]:
        """Returns what is logged, such as ``val/target/miou`` and ``val/target/iou/<class>`` for ``val/target``."""
        return {
            f"{prefix}/miou": self.miou,
            f"{prefix}/pixel_accuracy": self.pixel_accuracy,
            f"{prefix}/dice": self.mean_dice,
            **({} if self.ece is None else {f"{prefix}/ece": self.ece}),
            **({} if self.shared_miou is None else {f"{prefix}/miou_shared": self.shared_miou}),
            **{f"{prefix}/iou/{name}": value for name, value in self.iou.items()},
        }


def metric_names(prefix: str, classes: Sequence[str], shared: bool = False) -> list[str]:
    """Returns every name that ``Scores.named`` can log, for the check of a monitor before training.

    Args:
        prefix: such as ``val/target``.
        classes: the class names.
        shared: whether only some of the classes are in both domains.
    """
    names = ("miou", "pixel_accuracy", "dice", "ece", *(["miou_shared"] if shared else []))
    summary = [f"{prefix}/{name}" for name in names]
    return summary + [f"{prefix}/iou/{name}" for name in classes]

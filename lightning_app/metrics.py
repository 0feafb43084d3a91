"""Scores of a segmentation from one confusion matrix, summed over the whole set and all ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from datamodules.batch import IGNORE


class ConfusionMatrix(MulticlassConfusionMatrix):
    """Counts pixels by (true class, predicted class); pixels of class 255 are left out.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__(num_classes=classes, ignore_index=IGNORE, validate_args=False)


@dataclass(frozen=True)
class Scores:
    """Scores over a whole set, each in [0, 1].

    A class that occurs neither in the masks nor in the predictions has no score: it is left out of the means and of
    ``iou`` and ``dice``, and named in ``absent``.

    Attributes:
        miou: mean over the classes of intersection / union.
        pixel_accuracy: share of the counted pixels whose class is right.
        mean_dice: mean over the classes of 2 · intersection / (true + predicted).
        iou: intersection over union by class name.
        dice: Dice coefficient by class name.
        absent: classes without a single pixel.
        pixels: number of counted pixels.
    """

    miou: float
    pixel_accuracy: float
    mean_dice: float
    iou: dict[str, float]
    dice: dict[str, float]
    absent: list[str]
    pixels: int

    @classmethod
    def from_confusion(cls, matrix: Tensor, classes: Sequence[str]) -> "Scores":
        """Computes the scores.

        Args:
            matrix: (classes, classes) pixel counts, rows = truth, columns = prediction.
            classes: the class names, in the order of the ids.

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
        return cls(
            miou=iou[present].mean().item(),
            pixel_accuracy=(intersection.sum() / total).item(),
            mean_dice=dice[present].mean().item(),
            iou=dict(zip(names, iou[present].tolist(), strict=True)),
            dice=dict(zip(names, dice[present].tolist(), strict=True)),
            absent=[name for name in classes if name not in names],
            pixels=int(total.item()),
        )

    def named(self, prefix: str) -> dict[str, float]:
        """Returns what is logged, such as ``val/target/miou`` and ``val/target/iou/<class>`` for ``val/target``."""
        return {
            f"{prefix}/miou": self.miou,
            f"{prefix}/pixel_accuracy": self.pixel_accuracy,
            f"{prefix}/dice": self.mean_dice,
            **{f"{prefix}/iou/{name}": value for name, value in self.iou.items()},
        }


def metric_names(prefix: str, classes: Sequence[str]) -> list[str]:
    """Returns every name that ``Scores.named`` can log, for the check of a monitor before training."""
    summary = [f"{prefix}/{name}" for name in ("miou", "pixel_accuracy", "dice")]
    return summary + [f"{prefix}/iou/{name}" for name in classes]

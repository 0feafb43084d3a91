"""Scores of a segmentation from one confusion matrix, summed over the whole set and all ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from datamodules.batch import IGNORE, DomainName


def score_places(domain: DomainName, parts: Sequence[str]) -> list[str]:
    """Returns what is scored of a domain: the whole and, where several are joined in it, each part."""
    return [domain, *(f"{domain}/{part}" for part in parts if part)]


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
        shared_miou: the same over the classes that both domains have, where those are not all; predictions of other
            classes count as errors. NaN if there is no pixel of any of them.
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
    shared_miou: float | None = None

    @classmethod
    def from_confusion(cls, matrix: Tensor, classes: Sequence[str], shared: Sequence[str] | None = None) -> "Scores":
        """Computes the scores.

        Args:
            matrix: (classes, classes) pixel counts, rows = truth, columns = prediction.
            classes: the class names, in the order of the ids.
            shared: the classes that both domains have; None or all of them: there is no score of its own.

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
        return cls(
            miou=iou[present].mean().item(),
            pixel_accuracy=(intersection.sum() / total).item(),
            mean_dice=dice[present].mean().item(),
            iou=dict(zip(names, iou[present].tolist(), strict=True)),
            dice=dict(zip(names, dice[present].tolist(), strict=True)),
            absent=[name for name in classes if name not in names],
            pixels=int(total.item()),
            shared_miou=iou[in_both].mean().item() if partly else None,
        )

    def named(self, prefix: str) -> dict[str, float]:
        """Returns what is logged, such as ``val/target/miou`` and ``val/target/iou/<class>`` for ``val/target``."""
        return {
            f"{prefix}/miou": self.miou,
            f"{prefix}/pixel_accuracy": self.pixel_accuracy,
            f"{prefix}/dice": self.mean_dice,
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
    names = ("miou", "pixel_accuracy", "dice", *(["miou_shared"] if shared else []))
    summary = [f"{prefix}/{name}" for name in names]
    return summary + [f"{prefix}/iou/{name}" for name in classes]

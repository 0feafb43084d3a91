"""Which checkpoint a score would choose."""

from collections.abc import Sequence
from typing import Literal

Mode = Literal["max", "min"]

UNSUPERVISED: dict[str, Mode] = {
    "entropy": "min",
    "mutual_information": "max",
    "snd": "max",
    "class_prior": "min",
    "augmentation_consistency": "max",
    "teacher_agreement": "max",
}
"""The scores that need no labels of the target, and whether more or less of each is better."""

TARGET_MIOU = "val/target/miou"
SOURCE_MIOU = "val/source/miou"


def mode_of(monitor: str) -> Mode:
    """Returns whether more or less of what validation logs is better.

    Args:
        monitor: the logged name, such as ``val/target/unsupervised/entropy``.
    """
    path, _, score = monitor.rpartition("/")
    if path.endswith("/unsupervised"):
        return UNSUPERVISED.get(score, "max")
    return "min" if score == "ece" and not path.endswith("/iou") else "max"  # a class may have any name


def choose(values: Sequence[float], mode: Mode) -> int:
    """Returns the place of the best value, the first of equal ones as ``ModelCheckpoint`` keeps it.

    Args:
        values: at least one.
        mode: whether more or less is better.
    """
    return values.index((max if mode == "max" else min)(values))

"""The gap of one class."""

from dataclasses import dataclass

from lightning_app.gap.measure import Measure


@dataclass(frozen=True)
class ClassGap:
    """How far apart the pixels of a class are.

    Attributes:
        name: the class.
        pixels: pixels of it that are compared, of source and target.
        measure: MMD² of these; None if there are too few.
    """

    name: str
    pixels: tuple[int, int]
    measure: Measure | None

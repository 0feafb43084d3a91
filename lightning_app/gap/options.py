"""What is measured, and where its report goes."""

from dataclasses import dataclass
from pathlib import Path

from datamodules.domain import Split

_MOST_IMAGES = 2000


@dataclass(frozen=True)
class GapOptions:
    """What ``lightning gap`` measures.

    Args:
        split: the images that are compared.
        images: at most so many images of each domain are read, spread evenly, from 2 to 2000.
        pixels: the pixels of each feature map that are kept of an image, ≥ 2.
        before: a checkpoint whose gap is shown beside, such as that of the source-only run that an adaptation began
            from.
        report: the HTML file, and beside it the JSON file; null: ``gap.html`` in the run's folder if ``--run`` names
            it, or else in ``runs``.

    Raises:
        ValueError: if a number is out of bounds, or the report would be written over by its JSON file.
    """

    split: Split = "train"
    images: int = 500
    pixels: int = 16
    before: str | None = None
    report: str | None = None

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if not 2 <= self.images <= _MOST_IMAGES:
            raise ValueError(f"gap.images is {self.images}; it is from 2 to {_MOST_IMAGES}, since pairs are compared.")
        if self.pixels < 2:
            raise ValueError(f"gap.pixels is {self.pixels}; it is at least 2.")
        if self.report is not None and Path(self.report).suffix.lower() == ".json":
            raise ValueError(
                f"gap.report is {self.report}; it is the HTML file, beside which the JSON file is written."
            )

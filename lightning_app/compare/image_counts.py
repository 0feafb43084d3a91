"""What a run counted in every image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ImageCounts:
    """Pixels of the images of one domain, by class.

    Attributes:
        images: part and name of each image.
        classes: the class names.
        intersection: (images, classes): truth and prediction.
        union: (images, classes): truth or prediction.
    """

    images: Sequence[tuple[str, str]]
    classes: Sequence[str]
    intersection: NDArray[np.float64]
    union: NDArray[np.float64]

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, str]]) -> "ImageCounts":
        """Reads the rows of one domain of ``images_<stage>.csv``, in the order of the names."""
        rows = sorted(rows, key=lambda row: (row["part"], row["name"]))
        classes = [name.removeprefix("union/") for name in rows[0] if name.startswith("union/")]

        def counts(kind: str) -> NDArray[np.float64]:
            return np.array([[float(row[f"{kind}/{name}"] or 0) for name in classes] for row in rows])

        images = [(row["part"], row["name"]) for row in rows]
        return cls(images, classes, counts("intersection"), counts("union"))

"""What a domain is to the data modules: named images in three splits, and masks that are read only when asked for."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from datamodules.georeference import Georeference

Split = Literal["train", "val", "test"]
ImageArray = NDArray[Any]
"""(H, W, C) uint8, or float32 in [0, 1]."""
MaskArray = NDArray[np.uint8]
"""(H, W) class ids of the run, 255 = ignore."""
IdArray = NDArray[np.unsignedinteger[Any]]
"""(H, W) ids as a domain's masks hold them, uint8 or uint16."""


class Domain(ABC):
    """Images from one place: a folder, a simulator, a microscope.

    Instances are pickled to worker processes: they read on demand and keep bytes an image, not kilobytes.

    Attributes:
        name: a short name, which tells several domains of one role apart.
        classes: the names of the ids in the masks: a list (id = position) or a mapping of ids; None if the ids are
            those of the data module's ``classes``. A class named ``ignore`` is ignored.
        label_map: what the ids become: ids or class names of this domain to ids or class names of the run, or to
            ``ignore``. Classes of the same name need no entry; ``*`` stands for all that are not the run's.
        mask_encoding: all else that decides which ids ``read_mask`` finds in a file, as text.
    """

    name: str = ""
    classes: Sequence[str] | Mapping[int, str] | None = None
    label_map: Mapping[int | str, int | str] = {}
    mask_encoding: str = ""

    @abstractmethod
    def names(self, split: Split) -> Sequence[str]:
        """Returns the names of the images in a split, in a fixed order; empty when there are none."""

    @abstractmethod
    def has_mask(self, name: str) -> bool:
        """Tells whether a mask exists for an image, without opening it."""

    def without_mask(self, names: Sequence[str]) -> list[str]:
        """Returns those of the images that have no mask."""
        return [name for name in names if not self.has_mask(name)]

    def mask_place(self, name: str) -> str:
        """Returns where the mask of an image would have to be, for errors; an empty string if in no file."""
        return ""

    @abstractmethod
    def read_image(self, name: str) -> ImageArray:
        """Reads one image as (H, W, C) in RGB order: uint8, or float32 in [0, 1]."""

    @abstractmethod
    def read_mask(self, name: str) -> IdArray:
        """Reads one mask as (H, W) uint8 or uint16 ids, 255 = ignore unless ``classes`` or ``label_map`` names it."""

    def read_reduced(self, name: str, reduction: int) -> tuple[ImageArray, tuple[int, int]]:
        """Reads one image, smaller where that is cheaper.

        Args:
            name: the image.
            reduction: 1, 2, 4 or 8: height and width may be divided by it, rounded up.

        Returns:
            The image, reduced or not, and (height, width) of the whole.
        """
        image = self.read_image(name)
        return image, (image.shape[0], image.shape[1])

    def part(self, name: str) -> str:
        """Returns the name of the domain that an image is of, where several are joined; else an empty string."""
        return ""

    def group(self, name: str) -> str:
        """Returns what an image belongs to (a drive, a slide), whose images are alike; by default itself."""
        return name

    def files(self, name: str) -> list[Path]:
        """Returns the files of an image and of its mask, as far as there are any; whether they exist is not asked."""
        return []

    def georeference(self, name: str) -> Georeference | None:
        """Returns where on earth an image lies, or None if that is not known."""
        return None

    def check_masks(self) -> None:  # noqa: B027 - not every domain has files to check
        """Raises ValueError where masks and images do not belong together; called before any mask is read."""

"""What a domain is to the data modules: named images in three splits, and masks that are read only when asked for."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "val", "test"]
ImageArray = NDArray[Any]
"""(H, W, C) uint8, or float32 in [0, 1]."""
MaskArray = NDArray[np.uint8]
"""(H, W) class ids, 255 = ignore."""


class Domain(ABC):
    """Images from one place: a folder, a simulator, a microscope.

    Instances are pickled to worker processes and must stay small: they read on demand and cache nothing.

    Attributes:
        classes: the class names if the domain knows them itself (class id = position), else None and
            the data module's ``classes`` say.
    """

    classes: Sequence[str] | None = None

    @abstractmethod
    def names(self, split: Split) -> Sequence[str]:
        """Returns the names of the images in a split, in a fixed order; empty when there are none."""

    @abstractmethod
    def has_mask(self, name: str) -> bool:
        """Tells whether a mask exists for an image, without opening it."""

    @abstractmethod
    def read_image(self, name: str) -> ImageArray:
        """Reads one image as (H, W, C) in RGB order: uint8, or float32 in [0, 1]."""

    @abstractmethod
    def read_mask(self, name: str) -> MaskArray:
        """Reads one mask as (H, W) uint8 class ids with 255 = ignore."""

    def check_masks(self) -> None:  # noqa: B027 - not every domain has files to check
        """Raises ValueError where masks and images do not belong together; called before any mask is read."""

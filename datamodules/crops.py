"""Where training crops lie, and how they are cut out of images and masks."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.batch import IGNORE
from datamodules.domain import ImageArray, MaskArray
from datamodules.reading import REDUCTIONS

MOST_CHANNELS = 128
"""OpenCV 5 takes no more channels at once."""


@dataclass(frozen=True)
class Crop:
    """A region of an image, the size to which it is scaled, and the size to which it is padded.

    All are of the rows first and of the columns second, in pixels.

    Attributes:
        size: the size of the whole image.
        start: the region's first row and column.
        region: the region's size.
        scaled: its size after scaling.
        wanted: its size after padding, to the right and below.
    """

    size: tuple[int, int]
    start: tuple[int, int]
    region: tuple[int, int]
    scaled: tuple[int, int]
    wanted: tuple[int, int]

    def image(self, whole: ImageArray) -> ImageArray:
        """Cuts the crop out of an image; what is padded mirrors it.

        Args:
            whole: (H, W, C) uint8 or float32: the image, or the image reduced by one of ``REDUCTIONS``, where a pixel
                is the mean of 2 × 2, 4 × 4 or 8 × 8 pixels and the last row and column may be of fewer.

        Returns:
            (height, width, C), a copy.

        Raises:
            ValueError: if its size is not that of the whole image over one of ``REDUCTIONS``.
        """
        # A BGR image seen as RGB: OpenCV would copy it in NumPy's slow way.
        is_reversed = whole.shape[2] == 3 and whole.strides[2] < 0
        if is_reversed:
            whole = whole[..., ::-1]
        reduction = self._reduction(whole.shape)
        if reduction > 1:
            image = self._interpolate(whole, reduction)
        else:
            image = whole[self._place]
            if self.region != self.scaled:
                image = _by_channels(lambda part: cv2.resize(part, self.scaled[::-1]), image)
        if self.scaled != self.wanted:
            image = _by_channels(lambda part: cv2.copyMakeBorder(part, *self._edges, cv2.BORDER_REFLECT), image)
        if is_reversed:
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        return image.copy() if np.may_share_memory(image, whole) else image

    def mask(self, whole: NDArray[Any], to_classes: Callable[[NDArray[Any]], MaskArray]) -> MaskArray:
        """Cuts the crop out of a mask; what is padded is ignored.

        Args:
            whole: (H, W) uint8 or uint16, never reduced.
            to_classes: makes class ids (uint8, 255 = ignore) of the values of a mask. It is given no more than the
                pixels of the crop, before they are padded.

        Returns:
            (height, width).
        """
        mask = whole[self._place]
        if self.region != self.scaled:
            mask = cv2.resize(mask, self.scaled[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        classes = to_classes(mask)
        if self.scaled == self.wanted:
            return classes
        padded = cv2.copyMakeBorder(classes, *self._edges, cv2.BORDER_CONSTANT, value=[IGNORE])
        return cast(MaskArray, padded)

    @property
    def _place(self) -> tuple[slice, slice]:
        (top, left), (height, width) = self.start, self.region
        return slice(top, top + height), slice(left, left + width)

    @property
    def _edges(self) -> tuple[int, int, int, int]:
        return 0, self.wanted[0] - self.scaled[0], 0, self.wanted[1] - self.scaled[1]

    def _reduction(self, shape: tuple[int, ...]) -> int:
        for reduction in REDUCTIONS:
            if shape[:2] == tuple(math.ceil(length / reduction) for length in self.size):
                return reduction
        raise ValueError(
            f"an image of {self.size[1]} by {self.size[0]} pixels was read as {shape[1]} by {shape[0]}, which is not "
            "its size, nor a half, a quarter or an eighth of it (rounded up)."
        )

    def _interpolate(self, reduced: ImageArray, reduction: int) -> ImageArray:
        # The region starts and ends between the pixels of the reduced image, which a resize cannot express.
        place, matrix = [], np.zeros((2, 3))
        for axis, (start, region, scaled) in enumerate(zip(self.start, self.region, self.scaled, strict=True)):
            first = max(start // reduction - 1, 0)
            place.append(slice(first, math.ceil((start + region) / reduction) + 1))
            step = region / scaled / reduction
            # Pixel i reaches from i to i + 1, so that its centre is at i + ½, in both images.
            matrix[1 - axis, [1 - axis, 2]] = step, start / reduction + step / 2 - first - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

        def warp(part: ImageArray) -> ImageArray:
            return cv2.warpAffine(part, matrix, self.scaled[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)

        return _by_channels(warp, reduced[tuple(place)])


def draw_crop(size: tuple[int, int], crop: tuple[int, int], factor: float, generator: np.random.Generator) -> Crop:
    """Draws the place of a crop: what scaling the whole image and cropping it would give.

    Where the scaled image is smaller than the crop, it is padded to the right and below.

    Args:
        size: (height, width) of the whole image, in pixels.
        crop: (height, width) of the result, in pixels.
        factor: how much larger than in the image things become.
        generator: draws the place.
    """
    starts, regions, scaled = [], [], []
    for length, wanted in zip(size, crop, strict=True):
        region = max(1, round(wanted / factor))
        starts.append(int(generator.integers(max(length - region, 0) + 1)))
        regions.append(min(region, length))
        scaled.append(wanted if length >= region else min(wanted, max(1, round(length * factor))))
    return Crop(size, _pair(starts), _pair(regions), _pair(scaled), crop)


def reduction_for(factor: float) -> int:
    """Returns by how much an image may be reduced when it is read, if it is then scaled by a factor.

    Args:
        factor: how much larger than in the whole image things become.

    Returns:
        The largest of ``REDUCTIONS`` that leaves at least as many pixels as the factor.
    """
    return max((reduction for reduction in REDUCTIONS if reduction * factor <= 1), default=1)


def _by_channels(function: Callable[[ImageArray], ImageArray], image: ImageArray) -> ImageArray:
    parts = []
    for first in range(0, image.shape[2], MOST_CHANNELS):
        part = function(image[..., first : first + MOST_CHANNELS])
        # OpenCV drops the last axis of a single channel.
        parts.append(part[..., None] if part.ndim == 2 else part)
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def _pair(numbers: list[int]) -> tuple[int, int]:
    first, second = numbers
    return first, second

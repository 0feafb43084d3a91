"""Images found and read."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.decoding import read_and_decode
from datamodules.domain import ImageArray

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".npy")
"""Suffixes of the files that are taken for images, in lower case."""

REDUCTIONS = (1, 2, 4, 8)
"""What the size of a JPEG can be divided by while it is decoded."""

CHANNEL_CONVERSIONS = {
    (1, 3): "grey images are replicated to 3 channels",
    (3, 1): "RGB images are converted to grey",
    (4, 3): "the fourth channel of images, such as alpha, is dropped",
    (4, 1): "the fourth channel of images, such as alpha, is dropped and the rest converted to grey",
}
"""What is done with images whose channels (first number) are not those of the run (second number)."""


def read_image(path: Path, value_range: tuple[float, float] | None = None) -> ImageArray:
    """Reads a JPEG, PNG, WebP, TIFF or NumPy file; what the file holds counts, not its suffix.

    Args:
        path: the file. A NumPy file holds (H, W) or (H, W, C).
        value_range: the values that become 0 and 1; those outside are clipped. Needed unless the image is 8-bit.
            Pixels that a TIFF declares to hold no data become 0; without a value range they stay as they are.

    Returns:
        (H, W, C) in RGB order: uint8, or float32 in [0, 1] if a value range is given. It may be a view whose channels
        lie in another order in memory, so that a crop is copied and not the whole.

    Raises:
        ValueError: if the file is empty, truncated, not an image or too large, if the value range is missing, or if a
            value is not finite.
    """
    return read_reduced(path, 1, value_range)[0]


def read_reduced(
    path: Path, reduction: int, value_range: tuple[float, float] | None = None
) -> tuple[ImageArray, tuple[int, int]]:
    """Reads an image as ``read_image`` does, a JPEG at a part of its size, which is faster.

    Args:
        path: the file.
        reduction: 1, 2, 4 or 8. A JPEG of H × W pixels is decoded to ⌈H / reduction⌉ × ⌈W / reduction⌉; files of other
            formats come whole.
        value_range: as for ``read_image``.

    Returns:
        The image, and (H, W) of the whole image in pixels.

    Raises:
        ValueError: as ``read_image``, or if there is no such reduction.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction}; it is one of {', '.join(map(str, REDUCTIONS))}.")
    image, header = read_and_decode(path, reduction=reduction)
    image = image[..., None] if image.ndim == 2 else image
    if value_range is not None:
        image = _scale(image, value_range, header.no_data, path)
    elif image.dtype != np.uint8:
        raise ValueError(
            f"{path} holds {image.dtype} values. Set value_range of its domain to the values that become 0 and 1, "
            "such as [0, 65535] for 16-bit images."
        )
    return image, (header.height, header.width)


def convert_channels(image: ImageArray, channels: int, what: str) -> ImageArray:
    """Makes grey from RGB or RGB from grey and drops an alpha channel, where that is what is missing.

    Args:
        image: (H, W, C) uint8 or float32.
        channels: the channels of the run.
        what: names the image in the error.

    Returns:
        (H, W, channels) of the same type.

    Raises:
        ValueError: if the image cannot be converted.
    """
    found = image.shape[2]
    if found == channels:
        return image
    if (found, channels) not in CHANNEL_CONVERSIONS:
        raise ValueError(f"{what} has {found} channels, but data.channels is {channels}.")
    if found == 1:
        return np.repeat(image, 3, axis=2)
    image = image[..., :3]
    return image if channels == 3 else cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None]


def _scale(
    image: NDArray[Any], value_range: tuple[float, float], no_data: float | None, path: Path
) -> NDArray[np.float32]:
    low, high = value_range
    scaled: NDArray[np.float32] = ((image.astype(np.float32) - low) / (high - low)).astype(np.float32)
    if no_data is not None:
        scaled[np.isnan(image) if np.isnan(no_data) else image == no_data] = 0
    if not np.isfinite(scaled).all():
        raise ValueError(f"{path} holds values that are not finite.")
    return np.clip(scaled, 0, 1)

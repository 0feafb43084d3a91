"""Masks read from files: class ids, or colours that stand for them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.color_table import ColorTable
from datamodules.decoding import read_and_decode
from datamodules.domain import IdArray

MOST_ID = 65535
"""The largest id that a mask's file may hold."""

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".webp")
"""Suffixes of the files that are taken for masks, in lower case; the usual one is looked for first."""


def read_mask(path: Path, colors: ColorTable | None = None, channel: int | None = None) -> IdArray:
    """Reads the class ids in a PNG, TIFF, NumPy file or lossless WebP; what the file holds counts, not its suffix.

    Args:
        path: the file. Without ``colors`` the indices of a palette are the ids, and its colours are ignored.
        colors: the classes' colours, for RGB masks and palettes; an alpha channel is ignored.
        channel: the channel that holds the ids where there are many; 0 is red. Not beside ``colors``.

    Returns:
        (H, W) uint8, or uint16 if the file's values have more than 8 bits. The ids are as in the file, 0 to 65535; a
        no-data value is an id like any other.

    Raises:
        ValueError: if the file is empty, truncated, not an image or too large; if it is compressed with loss; if it
            has many channels, and neither colours nor a channel are given; if a colour is of no class; or if a value
            is not a whole number in 0 to 65535.
    """
    if colors is not None and channel is not None:
        raise ValueError("mask_channel is for masks of ids and colors for masks of colours: give one of them.")
    values, header = read_and_decode(path, raw=colors is None)
    if header.lossy:
        raise ValueError(
            f"mask {path} is a {header.format} compressed with loss, which changes ids and colours along borders. "
            "Save masks as PNG."
        )
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if colors is not None:
        if values.ndim == 2 or values.shape[2] not in (3, 4) or values.dtype != np.uint8:
            raise ValueError(
                f"mask {path} is {_what(values)}, but colors need 8-bit RGB. Leave colors out if it holds class ids."
            )
        return colors(values[..., :3], f"mask {path}")
    if channel is not None:
        channels = 1 if values.ndim == 2 else values.shape[2]
        if channel not in range(channels):
            raise ValueError(f"mask {path} has no channel {channel}: it is {_what(values)}, counted from 0.")
        values = values if values.ndim == 2 else values[..., channel]
    if values.ndim == 3:
        alike = values.shape[2] >= 3 and bool((values[..., :1] == values[..., 1:3]).all())
        mend = (
            "Its first three are equal: mask_channel: 0 reads it."
            if alike
            else "Give colors if its colours stand for classes, or mask_channel for the channel that holds class ids."
        )
        raise ValueError(f"mask {path} is {_what(values)}, and a mask of class ids has one channel. {mend}")
    return _ids(values, path)


def _ids(values: NDArray[Any], path: Path) -> IdArray:
    if values.dtype == np.uint8 or values.dtype == np.bool_:
        return np.ascontiguousarray(values, dtype=np.uint8)
    if values.dtype != np.uint16:
        if values.dtype.kind == "f":
            values = values.astype(np.float64)  # float16 does not reach the largest id
        wrong = ~((values >= 0) & (values <= MOST_ID))
        if values.dtype.kind == "f":
            wrong |= values != np.floor(values)
        if wrong.any():
            raise ValueError(
                f"mask {path} holds the value {values[wrong][0]}; class ids are whole numbers in 0 to {MOST_ID}."
            )
    return np.ascontiguousarray(values, dtype=np.uint16)


def _what(values: NDArray[Any]) -> str:
    channels = 1 if values.ndim == 2 else values.shape[2]
    return f"{channels} {'channel' if channels == 1 else 'channels'} of {values.dtype}"

"""What a file says of its image before a pixel is decoded."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np

MOST_PIXELS = 2**28
"""Images of more pixels than 16384 × 16384 are refused: a file of a few kilobytes can claim to hold them."""
MOST_BYTES = 2**32
"""Images that take more than 4 GiB in memory are refused, however few pixels of however many channels they have."""

PNG_END = b"IEND\xaeB`\x82"
"""The last bytes of every whole PNG."""

TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIGNATURES: dict["ImageFormat", tuple[bytes, ...]] = {
    "JPEG": (b"\xff\xd8",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "WebP": (b"RIFF",),
    "TIFF": TIFF_SIGNATURES,
    "NumPy": (b"\x93NUMPY",),
}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}

ImageFormat = Literal["JPEG", "PNG", "WebP", "TIFF", "NumPy"]


@dataclass(frozen=True)
class ImageHeader:
    """Format, size and type of the image in a file.

    Attributes:
        format: what the file is, whatever its suffix says.
        height: height in pixels.
        width: width in pixels.
        channels: the channels that ``read_image`` returns: a palette counts as its colours, grey with alpha in a PNG
            as RGBA.
        dtype: the NumPy name of its values' type, such as ``uint8``.
        bits: the bits of a value as stored: 1, 2 or 4 for small PNGs and TIFFs.
        palette: whether it stores indices of a palette.
        lossy: whether it is compressed in a way that changes values.
        no_data: the value of pixels without data, where a TIFF names one.
    """

    format: ImageFormat
    height: int
    width: int
    channels: int
    dtype: str
    bits: int
    palette: bool = False
    lossy: bool = False
    no_data: float | None = None

    @classmethod
    def parse(cls, data: bytes, path: Path) -> "ImageHeader":
        """Reads the header of a JPEG, PNG, WebP or NumPy file in memory.

        Args:
            data: the file, or its first bytes.
            path: names the file in errors.

        Raises:
            ValueError: if the header is broken, or the image too large to be read.
        """
        name = image_format(data, path)
        try:
            header = _PARSERS[name](data)
        except (IndexError, struct.error) as error:
            raise ValueError(f"{path} is not a whole and readable {name}: its header is cut off.") from error
        except ValueError as error:
            raise ValueError(f"{path} is not a whole and readable {name}: {error}.") from error
        header.check_size(path)
        return header

    def check_size(self, path: Path) -> None:
        """Raises ValueError if the image has no pixel or is too large to be read."""
        if min(self.height, self.width, self.channels) < 1:
            raise ValueError(f"{path} holds no pixels: {self.width} by {self.height} of {self.channels} channels.")
        if self.height * self.width > MOST_PIXELS:
            raise ValueError(
                f"{path} is {self.width} by {self.height} pixels, {self.height * self.width} in all; at most "
                f"{MOST_PIXELS} are read. Cut it into tiles."
            )
        size = self.height * self.width * self.channels * np.dtype(self.dtype).itemsize
        if size > MOST_BYTES:
            raise ValueError(
                f"{path} is {self.width} by {self.height} pixels of {self.channels} {self.dtype} values, "
                f"{size / 2**30:.1f} GiB in all; at most {MOST_BYTES / 2**30:.0f} GiB are read. Cut it into tiles."
            )


def image_format(data: bytes, path: Path) -> ImageFormat:
    """Tells what a file is from its first bytes.

    Args:
        data: the file, or its first bytes.
        path: names the file in errors.

    Raises:
        ValueError: if it is empty or none of the formats that are read.
    """
    if not data:
        raise ValueError(f"{path} is empty.")
    for name, signatures in _SIGNATURES.items():
        if data.startswith(signatures):
            return name
    raise ValueError(f"{path} is broken or not an image: it is none of {', '.join(_SIGNATURES)}.")


def _parse_jpeg(data: bytes) -> ImageHeader:
    place = 2
    while True:
        if data[place] != 0xFF:
            raise ValueError("its header is broken")
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width, channels = struct.unpack_from(">BHHB", data, place + 4)
            return ImageHeader("JPEG", height, width, channels, "uint8", bits, lossy=True)
        if marker in (0xD9, 0xDA):
            raise ValueError("its size is missing")
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]


def _parse_png(data: bytes) -> ImageHeader:
    name, width, height, bits, colours = struct.unpack_from(">4sIIBB", data, 12)
    if name != b"IHDR" or colours not in _PNG_CHANNELS:
        raise ValueError("its header is broken")
    channels = _PNG_CHANNELS[colours]
    place = 33
    while channels == 3:
        length, name = struct.unpack_from(">I4s", data, place)
        if name == b"tRNS":
            channels = 4
        if name in (b"IDAT", b"IEND"):
            break
        place += 12 + length
    return ImageHeader("PNG", height, width, channels, "uint16" if bits == 16 else "uint8", bits, palette=colours == 3)


def _parse_webp(data: bytes) -> ImageHeader:
    kind, place = data[8:16], 12
    if kind == b"WEBPVP8X":
        if data[20] & 2:
            raise ValueError("it is an animation")
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        alpha = bool(data[20] & 16)
        while data[place : place + 4] not in (b"VP8 ", b"VP8L"):
            place += 8 + (struct.unpack_from("<I", data, place + 4)[0] + 1) // 2 * 2
        lossy = data[place : place + 4] == b"VP8 "
    elif kind == b"WEBPVP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height, alpha, lossy = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bool(bits >> 28 & 1), False
    elif kind == b"WEBPVP8 ":
        width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", data, 26))
        alpha, lossy = False, True
    else:
        raise ValueError("its header is broken")
    return ImageHeader("WebP", height, width, 4 if alpha else 3, "uint8", 8, lossy=lossy)


def _parse_numpy(data: bytes) -> ImageHeader:
    stream = BytesIO(data)
    try:
        if np.lib.format.read_magic(stream) == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    except Exception as error:  # NumPy takes the header for Python's source, which can be wrong in any way
        raise ValueError("its header is broken") from error
    if len(shape) not in (2, 3) or dtype.kind not in "buif":
        raise ValueError(f"it holds {dtype} {shape}; an image is (H, W) or (H, W, C) numbers")
    height, width, channels = (*shape, 1)[:3]
    return ImageHeader("NumPy", height, width, channels, dtype.name, 8 * dtype.itemsize)


_PARSERS: dict[Any, Callable[[bytes], ImageHeader]] = {
    "JPEG": _parse_jpeg,
    "PNG": _parse_png,
    "WebP": _parse_webp,
    "NumPy": _parse_numpy,
}

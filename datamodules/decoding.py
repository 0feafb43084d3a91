"""Files decoded, strictly: a broken file is an error that names it, never a grey area."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from datamodules.image_header import MOST_BYTES, PNG_END, ImageHeader, image_format
from datamodules.png import decode_png, suits_gdal
from datamodules.tiff import decode_tiff, read_tiff_header

_HEAD = 2**16


def read_header(path: Path) -> ImageHeader:
    """Reads the first bytes of a file, and no pixel.

    Args:
        path: the file.

    Raises:
        ValueError: if the file is empty or not an image, or its image too large to be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if image_format(head, path) == "TIFF":
            return read_tiff_header(path)
        try:
            return ImageHeader.parse(head, path)
        except ValueError:
            # Profiles and previews may lie before the size.
            rest = file.read()
            if not rest:
                raise
    return ImageHeader.parse(head + rest, path)


def read_and_decode(path: Path, *, reduction: int = 1, raw: bool = False) -> tuple[NDArray[Any], ImageHeader]:
    """Reads a JPEG, PNG, WebP, TIFF or NumPy file; what the file holds counts, not its suffix.

    Args:
        path: the file.
        reduction: 1, 2, 4 or 8: a JPEG is decoded at 1 / reduction of its size, which is faster.
        raw: whether to return palette indices and values of 1, 2 and 4 bits as they are stored, for masks; else a
            palette becomes its colours, and small values are spread over 0 to 255.

    Returns:
        (H, W) or (H, W, C) in RGB order, perhaps a view whose channels lie in another order in memory, and the header,
        whose size is that of the whole image.

    Raises:
        ValueError: if the file is empty, cut off, not an image, or too large.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise ValueError(
                f"{path} is a file of {size / 2**30:.1f} GiB; at most {MOST_BYTES / 2**30:.0f} GiB are read. "
                "Cut it into tiles."
            )
        data = file.read()
    if image_format(data, path) == "TIFF":
        return decode_tiff(data, path, raw)
    header = ImageHeader.parse(data, path)
    try:
        return _decode(data, header, reduction, raw), header
    except (ValueError, OSError, SyntaxError, EOFError, cv2.error) as error:
        raise ValueError(f"{path} is not a whole and readable {header.format}: {error}.") from error


def _decode(data: bytes, header: ImageHeader, reduction: int, raw: bool) -> NDArray[Any]:
    if header.format == "JPEG":
        return _decode_jpeg(data, header, reduction)
    if header.format == "NumPy":
        # NumPy would first make room for all that the header claims.
        if len(data) < header.height * header.width * header.channels * header.bits // 8:
            raise ValueError("it is cut off")
        values: NDArray[Any] = np.load(BytesIO(data), allow_pickle=False)
        return values
    if header.format == "PNG" and suits_gdal(data, header, raw):
        return decode_png(data, header)
    if header.format == "PNG" and PNG_END not in data[-2048:] and PNG_END not in data:
        raise ValueError("it is cut off")
    if header.format == "WebP" and len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise ValueError("it is cut off")
    if header.palette and raw:
        # OpenCV turns a palette into colours. Image.open has a limit on pixels of its own, the constructor has none.
        return np.array(PngImageFile(BytesIO(data)), dtype=np.uint8)
    return _decode_with_opencv(data, header, raw)


def _decode_jpeg(data: bytes, header: ImageHeader, reduction: int) -> NDArray[Any]:
    if header.channels not in (1, 3):
        raise ValueError("its colours are CMYK, and RGB or grey is needed")
    colours = "GRAY" if header.channels == 1 else "RGB"
    # OpenCV fills what is missing of a truncated JPEG with grey and says nothing.
    image: NDArray[Any]
    if reduction == 1:
        image = simplejpeg.decode_jpeg(data, colours)
    else:
        height, width = (-(-side // reduction) for side in (header.height, header.width))
        image = simplejpeg.decode_jpeg(data, colours, min_height=height, min_width=width)
    return image


def _decode_with_opencv(data: bytes, header: ImageHeader, raw: bool) -> NDArray[Any]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("it is broken or cut off")
    if image.ndim == 2:
        # OpenCV spreads 1, 2 and 4 bits over 0 to 255.
        return image // np.uint8(255 // (2**header.bits - 1)) if raw and header.bits < 8 else image
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA) if image.shape[2] == 4 else image[..., ::-1]

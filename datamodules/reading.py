"""Reading images and masks from files, strictly: a broken file is an error that names it, never a grey area."""

from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from datamodules.domain import ImageArray, MaskArray

SUFFIXES = (".jpg", ".jpeg", ".png", ".npy")
"""Suffixes of the files that are taken for images, in lower case."""

CHANNEL_CONVERSIONS = {
    (1, 3): "grey images are replicated to 3 channels",
    (3, 1): "RGB images are converted to grey",
    (4, 3): "the alpha channel of RGBA images is dropped",
    (4, 1): "the alpha channel of RGBA images is dropped and the rest converted to grey",
}
"""What is done with images whose channels (first number) are not those of the run (second number)."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_GREY, _PNG_PALETTE = 0, 3


def find_images(folder: Path) -> dict[str, Path]:
    """Finds the images in a folder and its sub-folders.

    Args:
        folder: the folder.

    Returns:
        The files by name: the path within the folder without suffix. Hidden files are passed over.

    Raises:
        ValueError: if two images have the same name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix.lower() not in SUFFIXES or any(part.startswith(".") for part in inside.parts):
            continue
        name = inside.with_suffix("").as_posix()
        if name in found:
            raise ValueError(f"{found[name]} and {path.name} have the same name without suffix: rename one of them.")
        found[name] = path
    return found


def read_image(path: Path, value_range: tuple[float, float] | None = None) -> ImageArray:
    """Reads a JPEG, a PNG or a NumPy file; what the file holds counts, not its suffix.

    Args:
        path: the file. A NumPy file holds (H, W) or (H, W, C).
        value_range: the values that become 0 and 1; those outside are clipped. Needed unless the image is 8-bit.

    Returns:
        (H, W, C) in RGB order: uint8, or float32 in [0, 1] if a value range is given.

    Raises:
        ValueError: if the file is empty, truncated or not an image, or if the value range is missing.
    """
    data = _read_bytes(path)
    if data.startswith(b"\xff\xd8"):
        image = _decode_jpeg(data, path)
    elif data.startswith(b"\x93NUMPY"):
        image = _decode_numpy(data, path)
    else:
        image = _decode(data, path)
        if image.ndim == 3:
            image = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    image = image[..., None] if image.ndim == 2 else image
    if value_range is not None:
        return _scale(image, value_range, path)
    if image.dtype != np.uint8:
        raise ValueError(
            f"{path} holds {image.dtype} values. Set value_range of its domain to the values that become 0 and 1, "
            "such as [0, 65535] for 16-bit images."
        )
    return image


def read_mask(path: Path) -> MaskArray:
    """Reads the class ids of a single-channel or palette PNG of at most 8 bits.

    Args:
        path: the file.

    Returns:
        (H, W) uint8. A palette's colours are ignored: its indices are the class ids.

    Raises:
        ValueError: if the file is empty, truncated or not such a PNG.
    """
    data = _read_bytes(path)
    if not data.startswith(_PNG_SIGNATURE) or len(data) < 26:
        raise ValueError(f"mask {path} is not a PNG or is cut off.")
    depth, colour = data[24], data[25]
    if colour not in (_PNG_GREY, _PNG_PALETTE):
        raise ValueError(
            f"mask {path} is an RGB, RGBA or grey-alpha image. Masks are single-channel PNGs of class ids, "
            "0 for the first class and 255 for ignore."
        )
    if depth > 8:
        raise ValueError(f"mask {path} is a {depth}-bit image. Masks are 8-bit PNGs of class ids.")
    if colour == _PNG_PALETTE:
        # OpenCV turns a palette into colours.
        try:
            return np.array(Image.open(BytesIO(data)), dtype=np.uint8)
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"mask {path} is broken or cut off: {error}.") from error
    # OpenCV spreads 1, 2 and 4 bits over 0 to 255.
    mask: MaskArray = _decode(data, path) // np.uint8(255 // (2**depth - 1))
    return mask


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


def _read_bytes(path: Path) -> bytes:
    data = path.read_bytes()
    if not data:
        raise ValueError(f"{path} is empty.")
    return data


def _decode_jpeg(data: bytes, path: Path) -> NDArray[Any]:
    # OpenCV fills what is missing of a truncated JPEG with grey and says nothing.
    try:
        colours = simplejpeg.decode_jpeg_header(data)[2]
        if colours in ("CMYK", "YCCK"):
            raise ValueError("its colours are CMYK, and RGB or grey is needed")
        image: NDArray[Any] = simplejpeg.decode_jpeg(data, "GRAY" if colours == "Gray" else "RGB")
    except ValueError as error:
        raise ValueError(f"{path} is not a whole and readable JPEG: {error}.") from error
    return image


def _decode_numpy(data: bytes, path: Path) -> NDArray[Any]:
    try:
        image: NDArray[Any] = np.load(BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a whole and readable NumPy file: {error}.") from error
    if image.ndim not in (2, 3) or image.dtype.kind not in "uif" or 0 in image.shape:
        raise ValueError(f"{path} holds {image.dtype} {image.shape}; an image is (H, W) or (H, W, C) numbers.")
    return image


def _decode(data: bytes, path: Path) -> NDArray[Any]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError(f"{path} is broken, cut off or not an image.")
    return image


def _scale(image: NDArray[Any], value_range: tuple[float, float], path: Path) -> NDArray[np.float32]:
    low, high = value_range
    scaled: NDArray[np.float32] = ((image.astype(np.float32) - low) / (high - low)).astype(np.float32)
    if not np.isfinite(scaled).all():
        raise ValueError(f"{path} holds values that are not finite.")
    return np.clip(scaled, 0, 1)

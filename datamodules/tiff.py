"""TIFF files through rasterio, which is imported when the first of them is read."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.image_header import ImageHeader


def read_tiff_header(path: Path) -> ImageHeader:
    """Reads what a TIFF says of its image.

    Args:
        path: the file.

    Raises:
        ValueError: if the file is not one readable image, or one that is too large.
    """
    with open_tiff(path) as dataset:
        return _header(dataset, path)


def decode_tiff(data: bytes, path: Path, raw: bool) -> tuple[NDArray[Any], ImageHeader]:
    """Decodes a TIFF in memory.

    Args:
        data: the file.
        path: names the file in errors.
        raw: whether to return palette indices and small values as they are stored, for masks.

    Returns:
        (H, W) or (H, W, C) in RGB order, and the header.

    Raises:
        ValueError: as for ``read_tiff_header``, or if the file is cut off.
    """
    with open_tiff(path, data) as dataset:
        header = _header(dataset, path)
        if raw and dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES":
            raise ValueError(f"{path} is a TIFF whose 0 is white. Save it with 0 as black, or as a PNG.")
        values: NDArray[Any] = dataset.read()
        colours = dataset.colormap(1) if header.palette and not raw else {}
    if header.palette:
        if raw:
            return values[0], header
        table = np.zeros((2 ** (8 * values.dtype.itemsize), 3), np.uint8)
        table[list(colours)] = [colour[:3] for colour in colours.values()]
        return table[values[0]], header
    if not raw and header.bits < 8:
        values = values * np.uint8(255 // (2**header.bits - 1))
    return values.transpose(1, 2, 0), header


@contextmanager
def open_tiff(path: Path, data: bytes | None = None) -> Iterator[Any]:
    """Opens a TIFF for reading as a rasterio dataset.

    Args:
        path: the file.
        data: its bytes, where they are read already.

    Raises:
        ValueError: if rasterio cannot read it, while opening or within the context.
    """
    import rasterio
    from rasterio.errors import CRSError, NotGeoreferencedWarning
    from rasterio.io import MemoryFile

    # Photographs and microscope images have no place on earth, and that is no fault of theirs.
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    try:
        if data is not None:
            # GDAL's messages begin with the name, and would with a random one.
            with MemoryFile(data, filename="file") as memory, memory.open(driver="GTiff") as dataset:
                yield dataset
        else:
            # Without this GDAL lists the folder of every file that it opens, in search of companions.
            with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN=True), rasterio.open(path, driver="GTiff") as dataset:
                yield dataset
    except Exception as error:  # GDAL's own errors reach us as classes that rasterio keeps private
        if isinstance(error, MemoryError | ValueError) and not isinstance(error, CRSError):
            raise  # not the file's fault, or an error that names the file already
        reason = str(error.__cause__ or error).rstrip(".")
        raise ValueError(f"{path} is not a whole and readable TIFF: {reason}.") from error


def _header(dataset: Any, path: Path) -> ImageHeader:  # noqa: ANN401 - rasterio has no types
    structure = dataset.tags(ns="IMAGE_STRUCTURE")
    if dataset.subdatasets:
        raise ValueError(f"{path} holds {len(dataset.subdatasets)} pages, and an image is one. Split it into files.")
    if structure.get("SOURCE_COLOR_SPACE") in ("CMYK", "CIELAB"):
        raise ValueError(f"{path}: its colours are {structure['SOURCE_COLOR_SPACE']}, and RGB or grey is needed.")
    kind = dataset.dtypes[0]
    if kind.startswith("complex"):
        raise ValueError(f"{path} holds {kind} values; an image holds integers or floating-point numbers.")
    palette = dataset.colorinterp[0].name == "palette"
    header = ImageHeader(
        "TIFF",
        dataset.height,
        dataset.width,
        3 if palette else dataset.count,
        "uint8" if palette else kind,
        int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8 * np.dtype(kind).itemsize)),
        palette=palette,
        lossy=_is_lossy(structure),
        no_data=dataset.nodata,
    )
    header.check_size(path)
    return header


def _is_lossy(structure: dict[str, str]) -> bool:
    return (
        structure.get("COMPRESSION") in ("JPEG", "YCbCr JPEG")
        or structure.get("COMPRESSION_REVERSIBILITY", "").startswith("LOSSY")
        or float(structure.get("MAX_Z_ERROR", 0)) > 0
    )

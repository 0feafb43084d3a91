"""Places on earth, from images to the masks predicted of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.image_header import TIFF_SIGNATURES
from datamodules.tiff import open_tiff

Transform = tuple[float, float, float, float, float, float]
_IDENTITY: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Georeference:
    """Where on earth the pixels of an image lie.

    Attributes:
        crs: the coordinate reference system as well-known text, or None if the file names none.
        transform: (a, b, c, d, e, f) of the affine transform: a pixel's (column, row) lies at
            (a · column + b · row + c, d · column + e · row + f) in the units of the reference system.
    """

    crs: str | None
    transform: Transform


def read_georeference(path: Path) -> Georeference | None:
    """Reads where an image lies, from a TIFF or the world file beside it.

    Args:
        path: the image's file.

    Returns:
        None if it is no TIFF, or one without reference system and transform.

    Raises:
        ValueError: if it is a TIFF that cannot be read.
    """
    with path.open("rb") as file:
        if file.read(4) not in TIFF_SIGNATURES:
            return None
    with open_tiff(path) as dataset:
        crs = dataset.crs.to_wkt() if dataset.crs else None
        a, b, c, d, e, f = (float(value) for value in tuple(dataset.transform)[:6])
    transform = (a, b, c, d, e, f)
    return None if crs is None and transform == _IDENTITY else Georeference(crs, transform)


def write_mask(path: Path, mask: NDArray[np.uint8], georeference: Georeference) -> None:
    """Writes a mask as a compressed GeoTIFF of one band.

    Args:
        path: the file, replaced if it exists.
        mask: (H, W) uint8 class ids.
        georeference: where its pixels lie.
    """
    import rasterio

    height, width = mask.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=1,
        dtype="uint8",
        compress="deflate",
        crs=georeference.crs,
        transform=rasterio.Affine(*georeference.transform),
    ) as file:
        file.write(mask, 1)

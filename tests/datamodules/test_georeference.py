import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from crafted import tiff
from PIL import Image
from rasterio import Affine
from rasterio.crs import CRS

from datamodules.georeference import Georeference, read_georeference, write_mask

TRANSFORM = Affine(0.3, 0.01, 412345.6, -0.02, -0.3, 5654321.9)


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "EPSG:3857", "EPSG:2056", "EPSG:7415", None])
@pytest.mark.parametrize("name", ["a.tif", "道路 1?.TIFF", "suffix of something else.jpg"])
def test_the_georeference_goes_from_an_image_to_a_mask(tmp_path: Path, crs: str | None, name: str) -> None:
    (tmp_path / name).write_bytes(tiff(np.zeros((5, 4, 8), np.uint16), crs=crs, transform=TRANSFORM))
    georeference = read_georeference(tmp_path / name)
    assert georeference is not None
    mask = np.random.default_rng(0).integers(0, 19, (5, 4), dtype=np.uint8)
    write_mask(tmp_path / "mask.tif", mask, pickle.loads(pickle.dumps(georeference)))
    with rasterio.open(tmp_path / "mask.tif") as file:
        assert file.crs == (CRS.from_string(crs) if crs else None)
        assert file.transform == TRANSFORM
        assert file.profile["compress"] == "deflate"
        np.testing.assert_array_equal(file.read(), mask[None])
    assert read_georeference(tmp_path / "mask.tif") == georeference


def test_a_reference_system_without_a_transform_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.zeros((5, 4), np.uint8), crs="EPSG:4326"))
    georeference = read_georeference(tmp_path / "a.tif")
    assert georeference is not None
    assert CRS.from_wkt(georeference.crs) == CRS.from_epsg(4326)


def test_a_world_file_beside_the_image_counts(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.zeros((5, 4), np.uint8)))
    # A world file gives the centre of the first pixel.
    (tmp_path / "a.tfw").write_text("2\n0\n0\n-2\n101\n199\n")
    assert read_georeference(tmp_path / "a.tif") == Georeference(None, (2, 0, 100, 0, -2, 200))


def test_other_images_have_none(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.zeros((5, 4), np.uint8)))
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    np.save(tmp_path / "c.npy", np.zeros((4, 4)))
    (tmp_path / "empty.jpg").touch()
    for path in tmp_path.iterdir():
        assert read_georeference(path) is None


def test_a_broken_tiff_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "cut.tif").write_bytes(tiff(np.zeros((5, 4), np.uint8), crs="EPSG:4326")[:30])
    with pytest.raises(ValueError, match=r"cut\.tif is not a whole and readable TIFF"):
        read_georeference(tmp_path / "cut.tif")

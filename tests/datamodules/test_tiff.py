import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crafted import tiff
from numpy.typing import NDArray
from PIL import Image

from datamodules.decoding import read_header
from datamodules.reading import read_image


def _values(kind: str, channels: int) -> NDArray[Any]:
    generator = np.random.default_rng(0)
    if kind.startswith("float"):
        return generator.normal(0, 5, (6, 8, channels)).astype(kind)
    limits = np.iinfo(kind)
    return generator.integers(limits.min, limits.max, (6, 8, channels), dtype=kind, endpoint=True)


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
@pytest.mark.parametrize("settings", [{}, {"compress": "lzw", "interleave": "pixel"}])
def test_all_types_and_channels_are_scaled_by_the_value_range(
    tmp_path: Path, kind: str, channels: int, settings: dict[str, str]
) -> None:
    values = _values(kind, channels)
    (tmp_path / "a.tif").write_bytes(tiff(values, **settings))
    low, high = float(np.quantile(values, 0.2)), float(np.quantile(values, 0.8))
    image = read_image(tmp_path / "a.tif", (low, high))
    assert image.dtype == np.float32
    expected = ((values.astype(np.float64) - low) / (high - low)).clip(0, 1)
    np.testing.assert_allclose(image, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["int8", "uint16", "float32"])
def test_other_than_8_bits_need_a_value_range(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(_values(kind, 1)))
    with pytest.raises(ValueError, match=rf"a\.tif holds {kind} values\. Set value_range"):
        read_image(tmp_path / "a.tif")


def test_palettes_are_read_in_their_colours(tmp_path: Path) -> None:
    indices = np.array([[0, 1, 7]], np.uint8)
    colors = {0: (1, 2, 3, 255), 1: (40, 50, 60, 255), 7: (200, 100, 0, 255)}
    (tmp_path / "a.tif").write_bytes(tiff(indices, colormap=colors))
    assert read_image(tmp_path / "a.tif").tolist() == [[[1, 2, 3], [40, 50, 60], [200, 100, 0]]]


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("mode", ["1", "L"])
def test_black_is_black_whichever_way_it_is_stored(tmp_path: Path, white_is_zero: bool, mode: str) -> None:
    image = Image.fromarray(np.array([[0, 255, 0, 0]], np.uint8)).convert(mode)
    image.save(tmp_path / "a.tif", tiffinfo={262: 0 if white_is_zero else 1})
    assert read_image(tmp_path / "a.tif").max(axis=2).tolist() == [[0, 255, 0, 0]]


def test_values_of_few_bits_are_spread_as_in_a_png(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.array([[0, 1, 15]], np.uint8), nbits=4))
    assert read_image(tmp_path / "a.tif").ravel().tolist() == [0, 17, 255]


@pytest.mark.parametrize("no_data", [float("nan"), -9999.0, 3.4028234663852886e38])
def test_pixels_without_data_are_0_in_the_value_range(tmp_path: Path, no_data: float) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.array([[5, no_data, 10]], np.float32), nodata=no_data))
    assert read_image(tmp_path / "a.tif", (0, 10)).ravel().tolist() == [0.5, 0, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_unless_declared(tmp_path: Path, value: float) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.array([[5, value]], np.float32), nodata=-1))
    with pytest.raises(ValueError, match=r"a\.tif holds values that are not finite"):
        read_image(tmp_path / "a.tif", (0, 10))


def test_several_pages_are_refused(tmp_path: Path) -> None:
    page = Image.fromarray(np.zeros((4, 4), np.uint8))
    page.save(tmp_path / "stack.tif", save_all=True, append_images=[page, page])
    with pytest.raises(ValueError, match=r"stack\.tif holds 3 pages, and an image is one"):
        read_image(tmp_path / "stack.tif")


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_other_colour_spaces_are_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 4)).save(tmp_path / "print.tif")
    with pytest.raises(ValueError, match=rf"print\.tif: its colours are .*{mode}"):
        read_image(tmp_path / "print.tif")


def test_complex_values_are_refused(tmp_path: Path) -> None:
    (tmp_path / "radar.tif").write_bytes(tiff(np.zeros((4, 4), np.complex64)))
    with pytest.raises(ValueError, match=r"radar\.tif holds complex64 values"):
        read_image(tmp_path / "radar.tif", (0, 1))


def test_a_tiff_without_a_place_on_earth_is_read_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.zeros((4, 4), np.uint8)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(tmp_path / "a.tif")
        read_header(tmp_path / "a.tif")


def test_rasterio_is_not_imported_before_a_tiff_is_read() -> None:
    code = "import sys, datamodules.reading, datamodules.georeference; print('rasterio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"

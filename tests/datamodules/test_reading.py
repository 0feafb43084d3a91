import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from crafted import tiff
from numpy.typing import NDArray
from PIL import Image

from datamodules.reading import convert_channels, read_image, read_reduced


def _pattern(height: int = 12, width: int = 10) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _with_pillow(file_format: str, **settings: Any) -> Callable[[NDArray[np.uint8]], bytes]:
    def encode(image: NDArray[np.uint8]) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, file_format, **settings)
        return stream.getvalue()

    return encode


def _npy(image: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, image)
    return stream.getvalue()


LOSSLESS: dict[str, Callable[[NDArray[np.uint8]], bytes]] = {
    "png": _with_pillow("png"),
    "lossless webp": _with_pillow("webp", lossless=True),
    "tiff": tiff,
    "compressed tiff": lambda image: tiff(image, compress="deflate", tiled=True, blockxsize=16, blockysize=16),
    "big tiff": lambda image: tiff(image, BIGTIFF="YES"),
    "tiff of big-endian bytes": lambda image: tiff(image, ENDIANNESS="BIG", interleave="band"),
    "npy": _npy,
}
ENCODERS = {**LOSSLESS, "jpeg": _with_pillow("jpeg"), "webp": _with_pillow("webp", quality=95)}


@pytest.mark.parametrize("file_format", LOSSLESS)
@pytest.mark.parametrize("name", ["a.png", "B.TIFF", "a b.Npy", "Straße bei Nacht.webp", "道路?#!.jpg"])
def test_images_of_every_format_are_read_in_rgb_order_under_any_name(
    tmp_path: Path, file_format: str, name: str
) -> None:
    (tmp_path / name).write_bytes(LOSSLESS[file_format](_pattern()))
    np.testing.assert_array_equal(read_image(tmp_path / name), _pattern())


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_agrees_with_pillow(tmp_path: Path, mode: str) -> None:
    smooth = cv2.resize(_pattern(3, 3), (40, 32))
    alpha = [smooth[..., 0]] if mode == "RGBA" else []
    Image.fromarray(np.dstack([smooth, *alpha])).save(tmp_path / "a.webp", quality=90)
    expected = np.asarray(Image.open(tmp_path / "a.webp"))
    image = read_image(tmp_path / "a.webp")
    assert image.shape == expected.shape == (32, 40, len(mode))
    assert np.abs(image.astype(int) - expected).max() <= 1


def test_animated_webp_is_refused(tmp_path: Path) -> None:
    first, second = (Image.fromarray(image) for image in (_pattern(), 255 - _pattern()))
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second])
    with pytest.raises(ValueError, match=r"a\.webp .*animation"):
        read_image(tmp_path / "a.webp")


def test_palette_png_is_read_in_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]


@pytest.mark.parametrize("size", [(64, 48), (61, 83), (7, 9), (1, 1), (17, 1)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_reduced_jpegs_have_a_part_of_the_size_rounded_up(tmp_path: Path, size: tuple[int, int], mode: str) -> None:
    Image.fromarray(_pattern(*size)).convert(mode).save(tmp_path / "a.jpg", quality=90)
    for reduction in (1, 2, 4, 8):
        image, whole = read_reduced(tmp_path / "a.jpg", reduction)
        assert whole == size
        assert image.shape == (-(-size[0] // reduction), -(-size[1] // reduction), len(mode))
    np.testing.assert_array_equal(read_reduced(tmp_path / "a.jpg", 1)[0], read_image(tmp_path / "a.jpg"))


def test_a_reduced_jpeg_shows_what_the_whole_shows(tmp_path: Path) -> None:
    smooth = cv2.resize(_pattern(4, 4), (128, 96), interpolation=cv2.INTER_LINEAR)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    for reduction in (2, 4, 8):
        image, _ = read_reduced(tmp_path / "a.jpg", reduction)
        means = smooth.reshape(96 // reduction, reduction, 128 // reduction, reduction, 3).mean(axis=(1, 3))
        assert np.abs(image - means).mean() < 3


@pytest.mark.parametrize("file_format", LOSSLESS)
def test_other_formats_come_whole(tmp_path: Path, file_format: str) -> None:
    (tmp_path / "a").write_bytes(LOSSLESS[file_format](_pattern()))
    image, whole = read_reduced(tmp_path / "a", 4)
    np.testing.assert_array_equal(image, _pattern())
    assert whole == (12, 10)


def test_other_reductions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reduction is 3; it is one of 1, 2, 4, 8"):
        read_reduced(tmp_path / "a.jpg", 3)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_agrees_with_pillow(tmp_path: Path, mode: str) -> None:
    smooth = cv2.resize(_pattern(3, 3), (40, 32))
    Image.fromarray(smooth).convert(mode).save(tmp_path / "a.jpg", quality=95)
    expected = np.asarray(Image.open(tmp_path / "a.jpg")).reshape(32, 40, -1)
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= 3


def test_content_counts_not_the_suffix(tmp_path: Path) -> None:
    Image.fromarray(_pattern()).save(tmp_path / "a.jpg", format="png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), _pattern())


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_truncated_jpeg_is_an_error_that_names_the_file(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "cut.jpg"
    data = cv2.imencode(".jpg", _pattern(64, 64))[1].tobytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ValueError, match=r"cut\.jpg is not a whole and readable JPEG"):
        read_image(path)


def test_jpeg_without_its_end_marker_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(cv2.imencode(".jpg", _pattern())[1].tobytes()[:-2])
    with pytest.raises(ValueError, match=r"cut\.jpg"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.npy", "a.webp", "a.tif"])
@pytest.mark.parametrize(
    "data",
    [b"", b"no image", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\x93NUMPY\x01", b"RIFF\4\0\0\0WEBP", b"II*\0\x08"],
)
def test_broken_image_is_an_error_that_names_the_file(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(name)):
        read_image(tmp_path / name)


@pytest.mark.parametrize("file_format", ENCODERS)
def test_every_cut_off_file_is_an_error_that_names_it(tmp_path: Path, file_format: str) -> None:
    data = ENCODERS[file_format](_pattern(40, 32))
    path = tmp_path / "cut"
    for kept in (len(data) - 1, int(0.9 * len(data)), len(data) // 2, 60, 30, 20, 12, 8, 3, 1):
        path.write_bytes(data[:kept])
        with pytest.raises(ValueError, match=f"{re.escape(str(path))} .*(whole|broken|not an image)"):
            read_image(path)


@pytest.mark.parametrize("file_format", ENCODERS)
def test_a_damaged_file_is_an_image_or_an_error_that_names_it(tmp_path: Path, file_format: str) -> None:
    data = ENCODERS[file_format](_pattern(40, 32))
    path = tmp_path / "damaged"
    generator = np.random.default_rng(0)
    for place in (*range(40, min(len(data), 200), 3), *generator.integers(0, len(data), 20)):
        damaged = bytearray(data)
        damaged[place] ^= int(generator.integers(1, 256))
        path.write_bytes(damaged)
        try:
            image = read_image(path, (0, 255))
        except ValueError as error:
            assert str(path) in str(error)
        else:
            assert image.ndim == 3


def test_16_bit_images_need_a_value_range_and_are_scaled_by_it(tmp_path: Path) -> None:
    values = np.array([[0, 1000, 2000, 3000, 60000]], dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), values)
    with pytest.raises(ValueError, match=r"deep\.png holds uint16 values\. Set value_range"):
        read_image(tmp_path / "deep.png")
    image = read_image(tmp_path / "deep.png", (1000, 3000))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image[0, :, 0], [0, 0, 0.5, 1, 1])


def test_numpy_files_hold_any_number_of_channels(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (4, 6, 5), dtype=np.uint8)
    np.save(tmp_path / "five.npy", values)
    np.testing.assert_array_equal(read_image(tmp_path / "five.npy"), values)


def test_numpy_files_with_code_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "code.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"code\.npy"):
        read_image(tmp_path / "code.npy")


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "nan.npy", np.array([[0.0, np.nan]]))
    with pytest.raises(ValueError, match=r"nan\.npy holds values that are not finite"):
        read_image(tmp_path / "nan.npy", (0, 1))


def test_channels_are_replicated_dropped_and_made_grey() -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (4, 5, 4), dtype=np.uint8)
    rgb, grey = rgba[..., :3], rgba[..., :1]
    assert convert_channels(rgb, 3, "a") is rgb
    np.testing.assert_array_equal(convert_channels(grey, 3, "a"), np.concatenate([grey] * 3, axis=2))
    np.testing.assert_array_equal(convert_channels(rgba, 3, "a"), rgb)
    luma = rgb.astype(float) @ [0.299, 0.587, 0.114]
    for image in (rgb, rgba):
        np.testing.assert_allclose(convert_channels(image, 1, "a")[..., 0], luma, atol=1)


@pytest.mark.parametrize(("found", "channels"), [(3, 5), (5, 3), (1, 4), (2, 3)])
def test_other_channels_are_refused(found: int, channels: int) -> None:
    with pytest.raises(ValueError, match=f"target image a has {found} channels, but data.channels is {channels}"):
        convert_channels(np.zeros((2, 2, found), np.uint8), channels, "target image a")

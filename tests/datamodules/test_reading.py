import io
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datamodules.reading import convert_channels, find_images, read_image, read_mask


def _pattern(height: int = 12, width: int = 10) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_png_is_read_in_rgb_order(tmp_path: Path) -> None:
    image = _pattern()
    Image.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


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


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.npy"])
@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\x93NUMPY\x01"])
def test_broken_image_is_an_error_that_names_the_file(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(name)):
        read_image(tmp_path / name)


@pytest.mark.parametrize("reader", [read_image, read_mask])
def test_truncated_png_is_an_error_that_names_the_file(tmp_path: Path, reader: type) -> None:
    data = cv2.imencode(".png", _pattern(32, 32)[..., 0])[1].tobytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"cut\.png"):
        reader(tmp_path / "cut.png")


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


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("palette", [False, True])
def test_masks_of_any_depth_hold_the_ids_that_were_written(tmp_path: Path, bits: int, palette: bool) -> None:
    ids = (np.arange(64).reshape(8, 8) % 2**bits).astype(np.uint8)
    image = Image.fromarray(ids)
    if palette:
        image.putpalette([value % 256 for value in range(5, 5 + 768)])
    elif bits == 1:
        image = Image.fromarray(ids.astype(bool))
    image.save(tmp_path / "a.png", bits=bits)
    assert (tmp_path / "a.png").read_bytes()[24] == bits
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), ids)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_rgb_mask_is_refused(tmp_path: Path, mode: str) -> None:
    Image.fromarray(_pattern()).convert(mode).save(tmp_path / "colour.png")
    with pytest.raises(ValueError, match=r"colour\.png is an RGB.*Masks are single-channel PNGs"):
        read_mask(tmp_path / "colour.png")


def test_16_bit_mask_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "deep.png"), np.zeros((4, 4), np.uint16))
    with pytest.raises(ValueError, match=r"deep\.png is a 16-bit image"):
        read_mask(tmp_path / "deep.png")


@pytest.mark.parametrize("data", [b"", b"garbage"])
def test_broken_mask_is_an_error_that_names_the_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.png"):
        read_mask(tmp_path / "a.png")


def test_truncated_palette_mask_is_refused(tmp_path: Path) -> None:
    image = Image.fromarray(_pattern(32, 32)[..., 0])
    image.putpalette([0] * 768)
    stream = io.BytesIO()
    image.save(stream, "png")
    (tmp_path / "cut.png").write_bytes(stream.getvalue()[:-200])
    with pytest.raises(ValueError, match=r"cut\.png is broken or cut off"):
        read_mask(tmp_path / "cut.png")


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


def test_images_are_found_in_sub_folders_in_any_case(tmp_path: Path) -> None:
    for name in ("b.JPG", "sub/a.v2.png", ".hidden.png", "notes.txt", "sub/.thumbs/c.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert sorted(find_images(tmp_path)) == ["b", "sub/a.v2"]


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "a.png").touch()
    with pytest.raises(ValueError, match=r"a\.jpg and a\.png have the same name"):
        find_images(tmp_path)

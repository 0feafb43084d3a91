import io
import re
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from crafted import png, tiff
from numpy.typing import NDArray
from PIL import Image

from datamodules.color_table import ColorTable
from datamodules.mask_reading import read_mask

TABLE = ColorTable({"road": (128, 64, 128), "sky": (70, 130, 180)}, {"road": 5, "sky": 9})


def _ids(largest: int = 255) -> NDArray[np.uint16]:
    ids = np.random.default_rng(0).integers(0, largest, (12, 10), dtype=np.uint16, endpoint=True)
    ids[0, 0] = largest
    return ids


def _save_numpy(path: Path, ids: NDArray[np.uint16]) -> None:
    with path.open("wb") as file:  # np.save would add a suffix
        np.save(file, ids)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("palette", [False, True])
def test_png_masks_of_any_depth_hold_the_ids_that_were_written(tmp_path: Path, bits: int, palette: bool) -> None:
    ids = (np.arange(64).reshape(8, 8) % 2**bits).astype(np.uint8)
    packed = np.packbits(np.unpackbits(ids[..., None], axis=2)[..., -bits:].reshape(8, -1), axis=1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in packed))
    (tmp_path / "a.png").write_bytes(png(8, 8, body, depth=bits, color=3 if palette else 0))
    mask = read_mask(tmp_path / "a.png")
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, ids)


@pytest.mark.parametrize("largest", [255, 300, 33000, 65535])
@pytest.mark.parametrize("name", ["a.PNG", "Maske für Straße 道路.Tif", "a b.npy"])
def test_16_bit_ids_are_read_as_they_are(tmp_path: Path, largest: int, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".PNG":
        path.write_bytes(cv2.imencode(".png", _ids(largest))[1].tobytes())
    elif path.suffix == ".Tif":
        path.write_bytes(tiff(_ids(largest)))
    else:
        _save_numpy(path, _ids(largest))
    mask = read_mask(path)
    assert mask.dtype == np.uint16
    np.testing.assert_array_equal(mask, _ids(largest))


@pytest.mark.parametrize("kind", ["uint8", "bool", "int16", "int32", "uint32", "int64", "float16", "float32", ">u2"])
@pytest.mark.parametrize("trailing", [(), (1,)])
def test_numpy_masks_of_any_type_are_ids(tmp_path: Path, kind: str, trailing: tuple[int, ...]) -> None:
    ids = _ids(1 if kind == "bool" else 255)
    np.save(tmp_path / "a.npy", ids.astype(kind).reshape(*ids.shape, *trailing))
    mask = read_mask(tmp_path / "a.npy")
    assert mask.dtype == (np.uint8 if kind in ("uint8", "bool") else np.uint16)
    np.testing.assert_array_equal(mask, ids)


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32"])
def test_tiff_masks_of_any_type_are_ids_and_no_data_is_one_of_them(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(_ids().astype(kind), nodata=255, compress="deflate"))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), _ids())


@pytest.mark.parametrize("nbits", [1, 2, 4])
def test_tiff_masks_of_few_bits_are_not_spread(tmp_path: Path, nbits: int) -> None:
    ids = _ids(2**nbits - 1).astype(np.uint8)
    (tmp_path / "a.tif").write_bytes(tiff(ids, nbits=nbits))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), ids)


@pytest.mark.parametrize(
    "value", [-1, 65536, 2.0**40, 0.5, float("nan"), float("inf"), float("-inf"), np.float16("inf"), 2**63]
)
def test_values_that_are_no_ids_are_named(tmp_path: Path, value: float) -> None:
    np.save(tmp_path / "a.npy", np.array([[1, value]], np.asarray(value).dtype))
    expected = re.escape(
        f"mask {tmp_path / 'a.npy'} holds the value {value}; class ids are whole numbers in 0 to 65535"
    )
    with pytest.raises(ValueError, match=expected):
        read_mask(tmp_path / "a.npy")


def test_palettes_are_indices_without_colors_and_colours_with_them(tmp_path: Path) -> None:
    indices = np.array([[0, 1, 1, 0]], np.uint8)
    image = Image.fromarray(indices)
    image.putpalette([70, 130, 180, 128, 64, 128])
    image.save(tmp_path / "a.png")
    colormap = {0: (70, 130, 180, 255), 1: (128, 64, 128, 255)}
    (tmp_path / "a.tif").write_bytes(tiff(indices, colormap=colormap))
    for name in ("a.png", "a.tif"):
        assert read_mask(tmp_path / name).tolist() == [[0, 1, 1, 0]]
        assert read_mask(tmp_path / name, TABLE).tolist() == [[9, 5, 5, 9]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_colours_become_ids(tmp_path: Path, mode: str, name: str) -> None:
    image = Image.fromarray(np.array([[(128, 64, 128), (70, 130, 180)]], np.uint8)).convert(mode)
    image.save(tmp_path / name, **({"lossless": True} if name == "a.webp" else {}))
    assert read_mask(tmp_path / name, TABLE).tolist() == [[5, 9]]


def test_a_colour_of_no_class_names_the_file(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"mask .*a\.png holds the colour \[1, 2, 3\]"):
        read_mask(tmp_path / "a.png", TABLE)


@pytest.mark.parametrize("ids", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint16), np.zeros((4, 4, 2), "u1")])
def test_colors_are_refused_for_masks_of_ids(tmp_path: Path, ids: NDArray[np.uint8]) -> None:
    np.save(tmp_path / "a.npy", ids)
    with pytest.raises(ValueError, match=r"a\.npy is .*, but colors need 8-bit RGB\. Leave colors out"):
        read_mask(tmp_path / "a.npy", TABLE)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_channel_of_many_is_read_and_0_is_red(tmp_path: Path, kind: str, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (6, 5, channels), kind)
    order = [2, 1, 0, 3][:channels]  # OpenCV writes blue first
    cv2.imwrite(str(tmp_path / "a.png"), values[..., order])
    (tmp_path / "a.tif").write_bytes(tiff(values))
    np.save(tmp_path / "a.npy", values)
    for name in ("a.png", "a.tif", "a.npy"):
        for channel in range(channels):
            mask = read_mask(tmp_path / name, channel=channel)
            assert mask.dtype == kind
            np.testing.assert_array_equal(mask, values[..., channel])
        for channel in (channels, -1):
            with pytest.raises(ValueError, match=rf"has no channel {channel}: it is {channels} channels of {kind}"):
                read_mask(tmp_path / name, channel=channel)


def test_colors_and_a_channel_are_not_both_given(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give one of them"):
        read_mask(tmp_path / "a.png", TABLE, 0)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_rgb_masks_are_refused_with_both_mends(tmp_path: Path, mode: str) -> None:
    pattern = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(pattern).convert(mode).save(tmp_path / "colour.png")
    with pytest.raises(ValueError, match=r"colour\.png is .*Give colors .*, or mask_channel"):
        read_mask(tmp_path / "colour.png")


@pytest.mark.parametrize("mode", ["RGB", "LA"])
@pytest.mark.parametrize("name", ["grey.png", "grey.webp"])
def test_grey_ids_saved_as_rgb_are_refused_with_the_mend_that_reads_them(tmp_path: Path, mode: str, name: str) -> None:
    ids = _ids().astype(np.uint8)
    Image.fromarray(ids).convert(mode).save(tmp_path / name, **({"lossless": True} if name == "grey.webp" else {}))
    with pytest.raises(ValueError, match=r"first three are equal: mask_channel: 0 reads it"):
        read_mask(tmp_path / name)
    np.testing.assert_array_equal(read_mask(tmp_path / name, channel=0), ids)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.tif"])
def test_masks_compressed_with_loss_are_refused(tmp_path: Path, name: str) -> None:
    Image.fromarray(_ids().astype(np.uint8)).convert("RGB").save(
        tmp_path / name, **({"compression": "jpeg"} if name == "a.tif" else {})
    )
    with pytest.raises(ValueError, match=rf"{name} is a \w+ compressed with loss.*Save masks as PNG"):
        read_mask(tmp_path / name, channel=0)


@pytest.mark.parametrize(
    ("settings", "lossy"),
    [
        ({"compress": "webp"}, True),
        ({"compress": "webp", "WEBP_LOSSLESS": True}, False),
        ({"compress": "lerc", "MAX_Z_ERROR": 2}, True),
        ({"compress": "lerc"}, False),
    ],
)
def test_compressions_of_tiff_that_may_lose_are_refused_where_they_do(
    tmp_path: Path, settings: dict[str, Any], lossy: bool
) -> None:
    ids = _ids().astype(np.uint8)
    (tmp_path / "a.tif").write_bytes(tiff(np.dstack([ids] * 3), **settings))
    if lossy:
        with pytest.raises(ValueError, match=r"a\.tif is a TIFF compressed with loss"):
            read_mask(tmp_path / "a.tif", channel=0)
    else:
        np.testing.assert_array_equal(read_mask(tmp_path / "a.tif", channel=0), ids)


def test_a_tiff_mask_whose_0_is_white_is_refused(tmp_path: Path) -> None:
    Image.fromarray(_ids().astype(np.uint8)).save(tmp_path / "a.tif", tiffinfo={262: 0})
    with pytest.raises(ValueError, match=r"a\.tif is a TIFF whose 0 is white"):
        read_mask(tmp_path / "a.tif")


@pytest.mark.parametrize("data", [b"", b"garbage", b"\x89PNG\r\n\x1a\n", b"II*\0", b"RIFF", b"\x93NUMPY"])
def test_broken_mask_is_an_error_that_names_the_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.png"):
        read_mask(tmp_path / "a.png")


@pytest.mark.parametrize("palette", [False, True])
@pytest.mark.parametrize("lost", [1, 4, 12, 50])
def test_truncated_png_mask_is_refused(tmp_path: Path, palette: bool, lost: int) -> None:
    image = Image.fromarray(_ids().astype(np.uint8))
    if palette:
        image.putpalette([0] * 768)
    stream = io.BytesIO()
    image.save(stream, "png")
    (tmp_path / "cut.png").write_bytes(stream.getvalue()[:-lost])
    with pytest.raises(ValueError, match=r"cut\.png is not a whole and readable PNG"):
        read_mask(tmp_path / "cut.png")

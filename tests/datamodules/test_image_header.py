import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crafted import jpeg_header, npy_header, png, tiff, tiff_header, webp_header
from PIL import Image

from datamodules.decoding import read_header
from datamodules.image_header import ImageHeader
from datamodules.mask_reading import read_mask
from datamodules.reading import read_image

READERS: list[Callable[[Path], Any]] = [read_header, read_image, read_mask]
BOMBS = {
    "png": png(20000, 20000),
    "compressed png": png(20000, 20000, zlib.compress(zlib.compress(bytes(10**6)))),
    "palette png": png(20000, 20000, color=3),
    "jpeg": jpeg_header(20000, 20000),
    "webp": webp_header(20000, 20000),
    "tiff": tiff_header(20000, 20000),
    "npy": npy_header((20000, 20000)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", BOMBS)
def test_a_file_that_claims_too_many_pixels_is_refused_before_they_are_decoded(
    tmp_path: Path, kind: str, reader: Callable[[Path], Any]
) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[kind])
    message = rf"{re.escape(str(path))} is 20000 by 20000 pixels, 400000000 in all; at most 268435456 .*into tiles"
    with pytest.raises(ValueError, match=message):
        reader(path)


def test_a_real_bomb_of_289_megabytes_in_one_file_of_300_kilobytes_is_refused(tmp_path: Path) -> None:
    # 289 MB of zeros, packed once for a hundred rows and repeated.
    packer = zlib.compressobj(9, wbits=-15)
    rows = packer.compress(bytes(17001) * 100) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">HH", 17001 * 17000 % 65521, 1)
    body = b"\x78\xda" + rows * 170 + b"\x03\0" + checksum
    (tmp_path / "bomb.png").write_bytes(png(17000 * 8, 17000, body, depth=1))
    assert (tmp_path / "bomb.png").stat().st_size < 400_000
    with pytest.raises(ValueError, match=r"bomb\.png is 136000 by 17000 pixels"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("data", [npy_header((2**14, 2**14, 2**10), "<f8"), tiff_header(2**14, 2**14, 1000)])
def test_a_file_that_claims_more_bytes_than_memory_has_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bomb").write_bytes(data)
    with pytest.raises(ValueError, match=r"bomb is 16384 by 16384 pixels of 10\d\d .*GiB in all; at most 4 GiB"):
        read_image(tmp_path / "bomb")


def test_a_numpy_file_without_the_values_that_it_claims_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy_header((2**14, 2**14)) + bytes(100))
    with pytest.raises(ValueError, match=r"a\.npy is not a whole and readable NumPy: it is cut off"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("data", [npy_header((0, 4)), npy_header((4, 4, 0)), png(0, 4), jpeg_header(4, 0)])
def test_images_without_pixels_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ValueError, match="a holds no pixels"):
        read_image(tmp_path / "a")


@pytest.mark.parametrize("shape", [(4,), (4, 4, 3, 1)])
def test_numpy_files_of_other_dimensions_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(
        ValueError, match=re.escape(f"a.npy is not a whole and readable NumPy: it holds float64 {shape}")
    ):
        read_image(tmp_path / "a.npy", (0, 1))


def _saved(mode: str, file_format: str, **settings: Any) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8))
    (image.convert(mode) if mode != "P" else image.quantize(16)).save(stream, file_format, **settings)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (_saved("RGB", "jpeg"), ImageHeader("JPEG", 30, 20, 3, "uint8", 8, lossy=True)),
        (_saved("L", "jpeg", progressive=True), ImageHeader("JPEG", 30, 20, 1, "uint8", 8, lossy=True)),
        (_saved("RGB", "jpeg", icc_profile=bytes(200_000)), ImageHeader("JPEG", 30, 20, 3, "uint8", 8, lossy=True)),
        (_saved("RGB", "png"), ImageHeader("PNG", 30, 20, 3, "uint8", 8)),
        (_saved("RGBA", "png"), ImageHeader("PNG", 30, 20, 4, "uint8", 8)),
        (_saved("LA", "png"), ImageHeader("PNG", 30, 20, 4, "uint8", 8)),
        (_saved("1", "png"), ImageHeader("PNG", 30, 20, 1, "uint8", 1)),
        (_saved("L", "png", transparency=3), ImageHeader("PNG", 30, 20, 1, "uint8", 8)),
        (_saved("RGB", "png", transparency=(1, 2, 3)), ImageHeader("PNG", 30, 20, 4, "uint8", 8)),
        (_saved("P", "png"), ImageHeader("PNG", 30, 20, 3, "uint8", 4, palette=True)),
        (_saved("P", "png", transparency=1), ImageHeader("PNG", 30, 20, 4, "uint8", 4, palette=True)),
        (_saved("RGB", "webp"), ImageHeader("WebP", 30, 20, 3, "uint8", 8, lossy=True)),
        (_saved("RGB", "webp", lossless=True), ImageHeader("WebP", 30, 20, 3, "uint8", 8)),
        (_saved("RGB", "webp", exif=b"Exif\0\0" + bytes(9)), ImageHeader("WebP", 30, 20, 3, "uint8", 8, lossy=True)),
        (_saved("RGB", "webp", lossless=True, icc_profile=bytes(9)), ImageHeader("WebP", 30, 20, 3, "uint8", 8)),
        (npy_header((30, 20, 5)) + bytes(3000), ImageHeader("NumPy", 30, 20, 5, "uint8", 8)),
        (tiff(np.zeros((30, 20, 7), np.uint8)), ImageHeader("TIFF", 30, 20, 7, "uint8", 8)),
        (tiff(np.zeros((30, 20), np.uint8), nodata=9), ImageHeader("TIFF", 30, 20, 1, "uint8", 8, no_data=9)),
    ],
)
def test_the_header_says_what_the_image_turns_out_to_be(tmp_path: Path, data: bytes, expected: ImageHeader) -> None:
    (tmp_path / "a").write_bytes(data)
    header = read_header(tmp_path / "a")
    assert header == expected
    assert read_image(tmp_path / "a").shape == (header.height, header.width, header.channels)


def test_the_header_needs_no_whole_file(tmp_path: Path) -> None:
    data = _saved("RGB", "jpeg")
    (tmp_path / "a.jpg").write_bytes(data[:-100])
    assert read_header(tmp_path / "a.jpg").width == 20

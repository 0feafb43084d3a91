"""Large PNGs, which GDAL reads: what is in them, and that no damage passes."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datamodules.mask_reading import read_mask
from datamodules.reading import read_image

HEIGHT, WIDTH = 300, 450


def _photograph(channels: int) -> NDArray[np.uint8]:
    """Returns slopes, flat areas and noise, so that an encoder uses all its filters."""
    generator = np.random.default_rng(0)
    small = generator.integers(0, 200, (6, 9, channels), dtype=np.uint8)
    image = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR).reshape(HEIGHT, WIDTH, channels)
    image[:, 200:] += generator.integers(0, 9, (HEIGHT, WIDTH - 200, channels), dtype=np.uint8)
    image[100:150] = 7
    return image


def _encoded(image: Image.Image, **settings: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **settings)
    return stream.getvalue()


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(rows: bytes, height: int = HEIGHT, chunk: int = 2**30) -> bytes:
    """Returns a grey PNG of filtered rows, in chunks of some bytes."""
    compressed = zlib.compress(rows)
    parts = [compressed[start : start + chunk] for start in range(0, len(compressed), chunk)]
    size = struct.pack(">IIBBBBB", WIDTH, height, 8, 0, 0, 0, 0)
    chunks = [_chunk(b"IHDR", size), *(_chunk(b"IDAT", part) for part in parts), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _rows(image: NDArray[np.uint8]) -> bytes:
    return np.pad(image[..., 0], ((0, 0), (1, 0))).tobytes()


@pytest.mark.parametrize("compress_level", [0, 1, 9])
@pytest.mark.parametrize("channels", [1, 3])
def test_large_images_are_read_in_rgb_order(channels: int, compress_level: int, tmp_path: Path) -> None:
    image = _photograph(channels)
    encoded = _encoded(Image.fromarray(image if channels == 3 else image[..., 0]), compress_level=compress_level)
    (tmp_path / "a.png").write_bytes(encoded)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


@pytest.mark.parametrize("settings", [{}, {"transparency": 7}])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_large_masks_are_read_as_their_ids(mode: str, settings: dict[str, Any], tmp_path: Path) -> None:
    ids = _photograph(1)[..., 0]
    mask = Image.fromarray(ids)
    if mode == "P":
        mask.putpalette(np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8).tobytes())
    (tmp_path / "a.png").write_bytes(_encoded(mask, **settings))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), ids)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_large_images_with_alpha_or_a_palette_are_read_as_small_ones(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(_photograph(3)).convert(mode)
    (tmp_path / "a.png").write_bytes(_encoded(image))
    expected = np.asarray(image.convert("RGB" if mode == "P" else "RGBA"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_compressed_rows_may_be_in_any_number_of_chunks(chunk: int, tmp_path: Path) -> None:
    image = _photograph(1)
    (tmp_path / "a.png").write_bytes(_png(_rows(image), chunk=chunk))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


def _flip(place: float) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        at = int(place * len(data))
        return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]

    return damage


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit of the data": _flip(0.5),
    "a bit of the last rows": _flip(0.995),
    "cut off": lambda data: data[: len(data) // 2],
    "without its end": lambda data: data[:-12],
    "without its middle": lambda data: data[: len(data) // 3] + data[len(data) // 2 :],
    "zeros in its middle": lambda data: data[:9000] + bytes(5000) + data[14000:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("channels", [1, 3])
def test_damage_is_an_error_that_names_the_file(
    channels: int, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    image = _photograph(channels)
    path = tmp_path / "broken.png"
    path.write_bytes(damage(_encoded(Image.fromarray(image if channels == 3 else image[..., 0]))))
    with pytest.raises(ValueError, match=r"broken\.png is not a whole and readable PNG: "):
        read_image(path)


@pytest.mark.parametrize(
    ("kept", "height"),
    [(HEIGHT - 1, HEIGHT), (HEIGHT // 2, HEIGHT), (0, HEIGHT), (HEIGHT, 2 * HEIGHT), (HEIGHT, HEIGHT - 1)],
)
def test_other_rows_than_the_header_says_are_an_error(kept: int, height: int, tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(_png(_rows(_photograph(1)[:kept]), height))
    with pytest.raises(ValueError, match=r"broken\.png is not a whole and readable PNG: "):
        read_mask(path)


def test_values_that_do_not_fit_their_checksum_are_an_error(tmp_path: Path) -> None:
    rows = _rows(_photograph(1))
    compressed = zlib.compress(rows)
    whole, path = _png(rows), tmp_path / "broken.png"
    wrong = compressed[:-4] + zlib.adler32(rows[:-1]).to_bytes(4)
    path.write_bytes(whole.replace(_chunk(b"IDAT", compressed), _chunk(b"IDAT", wrong)))
    with pytest.raises(ValueError, match=r"broken\.png is not a whole and readable PNG: "):
        read_mask(path)

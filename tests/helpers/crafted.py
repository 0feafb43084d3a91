"""Image files made byte by byte: what no encoder would write."""

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile


def png(width: int, height: int, body: bytes = b"", depth: int = 8, color: int = 0) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(3 * 2**depth)) if color == 3 else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg_header(width: int, height: int) -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame + b"\xff\xd9"


def webp_header(width: int, height: int) -> bytes:
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunks = b"VP8X" + struct.pack("<I", len(canvas)) + canvas + b"VP8L" + struct.pack("<I", 5) + b"\x2f" + bytes(5)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def tiff_header(width: int, height: int, channels: int = 1) -> bytes:
    """An uncompressed TIFF without its pixels."""
    tags = [
        (256, width),
        (257, height),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 200),
        (277, channels),
        (278, height),
        (279, width * height % 2**32),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 3 if tag in (258, 259, 262, 277) else 4, 1, v) for tag, v in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def npy_header(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def tiff(values: NDArray[Any], **settings: Any) -> bytes:
    """A TIFF of (H, W) or (H, W, C) values, with the settings of ``rasterio.open``; ``colormap`` is its palette."""
    values = values[..., None] if values.ndim == 2 else values
    height, width, channels = values.shape
    colormap = settings.pop("colormap", None)
    shape: dict[str, Any] = {"height": height, "width": width, "count": channels, "dtype": values.dtype}
    with MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(driver="GTiff", **shape, **settings) as dataset:
            dataset.write(values.transpose(2, 0, 1))
            if colormap is not None:
                dataset.write_colormap(1, colormap)
        return bytes(memory.getbuffer())

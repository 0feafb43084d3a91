"""Reads images and masks for a check, and never stops at a broken one."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile
from torch.utils.data import Dataset

from datamodules import CrossDomainDataModule
from datamodules.class_index import count_ids
from datamodules.decoding import read_header
from datamodules.domain import Domain, IdArray, ImageArray
from datamodules.image_header import ImageFormat
from datamodules.loaders import take_in_hand
from datamodules.mask_reader import MaskReader
from datamodules.reading import convert_channels
from lightning_app.check.image_record import ImageRecord, Problem, ProblemKind
from lightning_app.check.portion import Portion

# Not by Image.open, which has a limit on pixels of its own.
_EXIF: Mapping[ImageFormat, Callable[[Path], ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
}


class RecordReader(Dataset[ImageRecord]):
    """Images and their masks by index, as records; what cannot be read is recorded and not raised.

    Args:
        data: the data of the run.
        portions: what is read of it.
    """

    def __init__(self, data: CrossDomainDataModule, portions: Sequence[Portion]) -> None:
        self.portions = portions
        self.channels = data.channels
        self.readers = {role: side.mask_reader for role, side in data.sides.items()}
        self._ends = list(accumulate(len(portion.names) for portion in portions))

    def __len__(self) -> int:
        """Returns the number of images."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> ImageRecord:
        """Reads one image and, where it may, its mask."""
        number = bisect_right(self._ends, index)
        portion = self.portions[number]
        name = portion.names[index - (self._ends[number] - len(portion.names))]
        reader = self.readers[portion.place.role]
        take_in_hand(f"{portion.place.domain} image {name}")
        record = ImageRecord(number, name)
        self._read(record, "image", reader)
        if reader.domain.has_mask(name):
            record.mask = "read" if portion.may_read_mask(name) else "left alone"
        if record.mask == "read":
            self._read(record, "mask", reader)
        return record

    def _read(self, record: ImageRecord, kind: ProblemKind, reader: MaskReader) -> None:
        try:
            if kind == "image":
                self._read_image(record, reader.domain)
            else:
                _read_mask(record, reader)
        # Whatever a domain raises, the next image is to be read.
        except Exception as error:
            reason = f"{error}" or type(error).__name__
            record.problems.append(Problem(kind, reason, _without_names(reason, record.name, reader.domain)))

    def _read_image(self, record: ImageRecord, domain: Domain) -> None:
        files = domain.files(record.name)
        if files:
            record.bytes_on_disk = sum(path.stat().st_size for path in files)
            header = read_header(files[0])
            record.encoding = f"{header.format}, {header.bits} bits{', palette' if header.palette else ''}"
        image = domain.read_image(record.name)
        if files:
            record.is_turned = header.format in _EXIF and _is_turned(files[0], header.format)
        record.size, record.channels = (image.shape[0], image.shape[1]), image.shape[2]
        pixels = np.ascontiguousarray(image)
        record.digest = blake2b(pixels.data, digest_size=16, salt=f"{image.shape}".encode()[:16]).digest()
        try:
            converted = convert_channels(image, self.channels, "it")
        except ValueError as error:
            record.problems.append(Problem("channels", f"{error}", f"{error}"))
            return
        record.means, record.deviations = _statistics(converted)
        record.is_flat = max(record.deviations) == 0


def _without_names(reason: str, name: str, domain: Domain) -> str:
    try:
        files = domain.files(name)
    except (ValueError, OSError):  # a file that is not there any more
        files = []
    for text in (*map(str, files), *(path.name for path in files), name):
        reason = reason.replace(text, "…")
    return reason


def _is_turned(path: Path, image_format: ImageFormat) -> bool:
    with _EXIF[image_format](path) as image:
        return bool(image.getexif().get(ExifTags.Base.Orientation, 1) != 1)


def _statistics(image: ImageArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of each channel, of values in [0, 1]."""
    full = 255 if image.dtype == np.uint8 else 1
    found = [cv2.meanStdDev(channel) for channel in cv2.split(np.ascontiguousarray(image))]
    return tuple(float(mean[0, 0]) / full for mean, _ in found), tuple(float(std[0, 0]) / full for _, std in found)


def _read_mask(record: ImageRecord, reader: MaskReader) -> None:
    mask = reader.read_ids(record.name)
    if record.size is not None and mask.shape != record.size:
        (height, width), (its_height, its_width) = record.size, mask.shape
        reason = f"the mask is {its_width} × {its_height} pixels, the image {width} × {height} (width × height)."
        record.problems.append(Problem("size", reason, reason))
    ids, pixels = count_ids(mask)
    record.ids = dict(zip(ids.tolist(), pixels.tolist(), strict=True))
    # One by one: a mask with an unknown id has others that are known.
    classes = {
        id_: _class_of(ids[None, index : index + 1], record.name, reader) for index, id_ in enumerate(record.ids)
    }
    record.unknown = {id_: count for id_, count in record.ids.items() if classes[id_] is None}
    found: Counter[int] = Counter()
    for id_, class_id in classes.items():
        if class_id is not None:
            found[class_id] += record.ids[id_]
    record.classes = found


def _class_of(id_: IdArray, name: str, reader: MaskReader) -> int | None:
    try:
        return int(reader.to_classes(id_, name)[0, 0])
    except ValueError:
        return None

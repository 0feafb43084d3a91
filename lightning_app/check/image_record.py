"""What reading one image and its mask has shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

ProblemKind = Literal["image", "channels", "mask", "size"]


class Problem(NamedTuple):
    """Why an image or its mask cannot be used.

    Attributes:
        kind: what cannot be used: the ``image``, its ``channels``, the ``mask``, or the ``size`` of the mask.
        reason: what the reader said.
        fault: the same without the names of the files, to tell which files have the same fault.
    """

    kind: ProblemKind
    reason: str
    fault: str


@dataclass
class ImageRecord:
    """An image, in plain values.

    Attributes:
        portion: the number of the portion that it is of.
        name: the image's name.
        bytes_on_disk: size of its files.
        encoding: format and bits of the file, such as ``JPEG, 8 bits``.
        size: (height, width), or None if it could not be read.
        channels: its channels, as read.
        digest: stands for its pixels: equal pixels, equal digests.
        is_flat: whether all its pixels have one value.
        is_turned: whether its EXIF data say that it is shown turned.
        means: the mean of each of the run's channels, in [0, 1].
        deviations: their standard deviations.
        mask: whether a mask was read, was left alone, or is not there.
        ids: pixels of each id in the mask.
        classes: pixels of each class id of the run, 255 = ignore.
        unknown: pixels of each id that no class has.
        problems: why it cannot be used, if it cannot.
    """

    portion: int
    name: str
    bytes_on_disk: int = 0
    encoding: str = ""
    size: tuple[int, int] | None = None
    channels: int = 0
    digest: bytes = b""
    is_flat: bool = False
    is_turned: bool = False
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    mask: Literal["read", "left alone", "missing"] = "missing"
    ids: Mapping[int, int] = field(default_factory=dict)
    classes: Mapping[int, int] = field(default_factory=dict)
    unknown: Mapping[int, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

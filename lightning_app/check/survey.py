"""All that reading the files has shown, summed up."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.batch import IGNORE
from lightning_app.check.image_record import ImageRecord, Problem
from lightning_app.check.portion import Place, Portion

BRIGHTNESS_BINS = 32
"""How finely the brightness of images is counted."""


class NamedImage(NamedTuple):
    """An image and where it belongs."""

    place: Place
    name: str

    def __str__(self) -> str:
        """Returns the place and the name."""
        return f"{self.place} {self.name}"


@dataclass
class Summary:
    """What the images of one place are like, or of several places together.

    Attributes:
        total: images of the split.
        read: images that were read, broken ones too.
        masks: of these, how many have a mask.
        masks_read: of these masks, how many were read.
        closed: of these masks, how many were not to be opened.
        bytes_on_disk: size of the files read.
        sizes: images of each (height, width).
        channels: images of each number of channels.
        encodings: images of each format.
        pixels: pixels in all images whose statistics are known.
        sums: (channels) sum of all values, in [0, 1].
        squares: (channels) sum of their squares.
        brightness: (32) images by their mean value, from black to white.
        class_pixels: (256) pixels of each class id, 255 = ignore.
        class_images: (256) masks in which each class id occurs.
        ids: pixels of each id in the masks.
        unknown: pixels of each id that no class has.
        unknown_in: the masks that hold each of these.
        ignored: masks with no pixel but ignored ones.
        flat: images of one value.
        turned: images that are shown turned, by their EXIF data.
        problems: (image, what is wrong).
    """

    total: int = 0
    read: int = 0
    masks: int = 0
    masks_read: int = 0
    closed: int = 0
    bytes_on_disk: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    encodings: Counter[str] = field(default_factory=Counter)
    pixels: int = 0
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    brightness: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BRIGHTNESS_BINS, np.int64))
    class_pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    class_images: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    ids: Counter[int] = field(default_factory=Counter)
    unknown: Counter[int] = field(default_factory=Counter)
    unknown_in: dict[int, list[str]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    flat: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    problems: list[tuple[str, Problem]] = field(default_factory=list)

    def add(self, record: ImageRecord) -> None:
        """Counts one image."""
        self.read += 1
        self.masks += record.mask != "missing"
        self.closed += record.mask == "left alone"
        self.bytes_on_disk += record.bytes_on_disk
        self.problems += [(record.name, problem) for problem in record.problems]
        if record.size is not None:
            self.sizes[record.size] += 1
            self.channels[record.channels] += 1
            self.encodings[record.encoding or "made by the program"] += 1
        if record.size is not None and record.means:
            means, deviations = np.array(record.means), np.array(record.deviations)
            pixels = record.size[0] * record.size[1]
            self.pixels += pixels
            self.sums = self.sums + pixels * means
            self.squares = self.squares + pixels * (means**2 + deviations**2)
            self.brightness[min(int(means.mean() * BRIGHTNESS_BINS), BRIGHTNESS_BINS - 1)] += 1
        if record.is_flat:
            self.flat.append(record.name)
        if record.is_turned:
            self.turned.append(record.name)
        if record.ids:
            self._add_mask(record)

    def _add_mask(self, record: ImageRecord) -> None:
        self.masks_read += 1
        self.ids.update(record.ids)
        self.unknown.update(record.unknown)
        for id_ in record.unknown:
            self.unknown_in.setdefault(id_, []).append(record.name)
        for class_id, pixels in record.classes.items():
            self.class_pixels[class_id] += pixels
            self.class_images[class_id] += 1
        if set(record.classes) == {IGNORE} and not record.unknown:
            self.ignored.append(record.name)

    def means(self) -> NDArray[np.float64]:
        """Returns the mean of each channel over all pixels, in [0, 1]."""
        means: NDArray[np.float64] = self.sums / max(self.pixels, 1)
        return means

    def deviations(self) -> NDArray[np.float64]:
        """Returns the standard deviation of each channel over all pixels, in [0, 1]."""
        deviations: NDArray[np.float64] = np.sqrt(np.maximum(self.squares / max(self.pixels, 1) - self.means() ** 2, 0))
        return deviations

    def class_shares(self, classes: int) -> NDArray[np.float64]:
        """Returns (classes) the share of each class in all pixels that are not ignored; all 0 if there are none."""
        pixels = self.class_pixels[:classes]
        shares: NDArray[np.float64] = pixels / max(int(pixels.sum()), 1)
        return shares

    def ignored_share(self) -> float:
        """Returns the share of the pixels that are ignored."""
        return float(self.class_pixels[IGNORE] / max(int(self.class_pixels.sum()), 1))


@dataclass
class Survey:
    """What all images are like, place by place.

    Args:
        portions: what is read.

    Attributes:
        places: what is known of each place.
        copies: images whose pixels are equal, in groups of two and more; images of one value are not counted.
    """

    portions: Sequence[Portion]
    places: dict[Place, Summary] = field(init=False)
    copies: list[list[NamedImage]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Begins with nothing read."""
        self.places = {portion.place: Summary(total=portion.total) for portion in self.portions}
        self._first: dict[bytes, tuple[int, str]] = {}
        self._copied: dict[bytes, list[NamedImage]] = {}

    def add(self, record: ImageRecord) -> None:
        """Counts one image."""
        place = self.portions[record.portion].place
        self.places[place].add(record)
        if not record.digest or record.is_flat:
            return
        first = self._first.setdefault(record.digest, (record.portion, record.name))
        if first == (record.portion, record.name):
            return
        if record.digest not in self._copied:
            self._copied[record.digest] = [NamedImage(self.portions[first[0]].place, first[1])]
            self.copies.append(self._copied[record.digest])
        self._copied[record.digest].append(NamedImage(place, record.name))

    def images(self, of: Callable[[Summary], Sequence[str]]) -> list[str]:
        """Returns images of all places, each with its place, such as ``source/train a``."""
        return [f"{place} {name}" for place, summary in self.places.items() for name in of(summary)]

    def domains(self) -> list[str]:
        """Returns the domains in order: ``source`` and ``target``, or the parts of either."""
        return list(dict.fromkeys(place.domain for place in self.places))

    def of_domain(self, domain: str) -> Summary:
        """Returns what is known of all splits of a domain."""
        return together(summary for place, summary in self.places.items() if place.domain == domain)

    def of_role(self, role: str) -> Summary:
        """Returns what is known of all domains in a role."""
        return together(summary for place, summary in self.places.items() if place.role == role)

    def shift(self, classes: int) -> float | None:
        """Returns the label shift: the total variation distance between the class shares of source and target.

        It is the share of pixels, in [0, 1], that would have to change their class to make the shares equal. None if
        masks of one of the two were not read.
        """
        source, target = self.of_role("source"), self.of_role("target")
        if not source.class_pixels[:classes].any() or not target.class_pixels[:classes].any():
            return None
        return float(np.abs(source.class_shares(classes) - target.class_shares(classes)).sum() / 2)


def together(summaries: Iterable[Summary]) -> Summary:
    """Returns the sum of several summaries."""
    whole = Summary()
    for one in summaries:
        whole.total += one.total
        whole.read += one.read
        whole.masks += one.masks
        whole.masks_read += one.masks_read
        whole.closed += one.closed
        whole.bytes_on_disk += one.bytes_on_disk
        whole.sizes += one.sizes
        whole.channels += one.channels
        whole.encodings += one.encodings
        whole.pixels += one.pixels
        whole.sums = whole.sums + one.sums
        whole.squares = whole.squares + one.squares
        whole.brightness = whole.brightness + one.brightness
        whole.class_pixels = whole.class_pixels + one.class_pixels
        whole.class_images = whole.class_images + one.class_images
        whole.ids += one.ids
        whole.unknown += one.unknown
        for id_, names in one.unknown_in.items():
            whole.unknown_in.setdefault(id_, []).extend(names)
        whole.ignored += one.ignored
        whole.flat += one.flat
        whole.turned += one.turned
        whole.problems += one.problems
    return whole

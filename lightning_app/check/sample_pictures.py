"""Pictures of what training sees, and of whole images with their masks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from datamodules import CrossDomainDataModule
from datamodules.batch import StreamName
from datamodules.dataset import DomainDataset
from datamodules.names import Names
from datamodules.reading import convert_channels
from datamodules.samplers import Draw
from lightning_app.check.portion import Portion
from lightning_app.html import picture_address
from lightning_app.pictures import Color, overlay, to_rgb

_CROPS = 4
_WHOLE = 3
_TRIES = 5


@dataclass(frozen=True)
class Picture:
    """One sample.

    Attributes:
        caption: what it is.
        tiles: data addresses of the image and, where there is one, of its mask over it and of its second view.
    """

    caption: str
    tiles: Sequence[str]


def crop_pictures(
    data: CrossDomainDataModule, streams: Mapping[StreamName, Names], colors: Sequence[Color]
) -> dict[str, list[Picture]]:
    """Takes a few samples of each stream through the transforms of training.

    Args:
        data: the data of the run.
        streams: the images of each stream.
        colors: one colour a class.

    Returns:
        The pictures of each stream.
    """
    pictures: dict[str, list[Picture]] = {}
    for stream, names in streams.items():
        dataset = data.training_dataset(stream, names)
        pictures[stream] = _from_all_over(len(names), _CROPS, partial(_crop, dataset, colors))
    return pictures


def whole_pictures(
    data: CrossDomainDataModule, portions: Sequence[Portion], colors: Sequence[Color]
) -> dict[str, list[Picture]]:
    """Shows a few whole images of each domain, with their masks where those may be read.

    Args:
        data: the data of the run.
        portions: what is read of it.
        colors: one colour a class.

    Returns:
        The pictures of each domain.
    """
    chosen: dict[str, Portion] = {}
    for portion in portions:
        shown = chosen.setdefault(portion.place.domain, portion)
        if shown.masked is not None and portion.masked is None:
            chosen[portion.place.domain] = portion
    return {
        domain: _from_all_over(len(portion.names), _WHOLE, partial(_whole, data, portion, colors))
        for domain, portion in chosen.items()
    }


def _from_all_over(size: int, count: int, picture_of: Callable[[int], Picture]) -> list[Picture]:
    """Makes pictures of images at even distances; where one cannot be read, the next is taken."""
    pictures: list[Picture] = []
    for number in range(count):
        begin, end = number * size // count, (number + 1) * size // count
        for index in range(begin, min(end, begin + _TRIES)):
            try:
                pictures.append(picture_of(index))
            except Exception:  # what cannot be read is a finding of its own
                continue
            break
    return pictures


def _crop(dataset: DomainDataset, colors: Sequence[Color], index: int) -> Picture:
    sample = dataset[Draw(index, index)]
    image = sample["image"].permute(1, 2, 0).numpy()
    tiles = [to_rgb(image)]
    if "mask" in sample:
        tiles.append(overlay(image, sample["mask"].numpy(), colors))
    if "strong" in sample:
        tiles.append(to_rgb(sample["strong"].permute(1, 2, 0).numpy()))
    return Picture(sample["name"], [picture_address(tile) for tile in tiles])


def _whole(data: CrossDomainDataModule, portion: Portion, colors: Sequence[Color], index: int) -> Picture:
    name, reader = portion.names[index], data.sides[portion.place.role].mask_reader
    image = convert_channels(reader.domain.read_image(name), data.channels, name)
    tiles = [to_rgb(image)]
    if portion.may_read_mask(name) and reader.domain.has_mask(name):
        tiles.append(overlay(image, reader(name), colors))
    height, width = image.shape[:2]
    return Picture(f"{name} ({portion.place.split}, {width} × {height})", [picture_address(tile) for tile in tiles])

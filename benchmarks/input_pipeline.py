"""Reading and augmenting training images over the same work written with OpenCV and with torchvision."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.comparison import Comparison
from benchmarks.image_folder import write_image_folder
from benchmarks.input_references import OpenCVByHand, Torchvision
from datamodules import FolderDomain, SyntheticStreets
from datamodules.augmentations import Strength
from datamodules.dataset import DomainDataset, collate
from datamodules.label_map import LabelMap
from datamodules.mask_reader import MaskReader
from datamodules.samplers import Draw
from datamodules.transforms import TrainTransform

CASES: tuple[tuple[str, Strength, tuple[float, float]], ...] = (
    (".jpg", "weak", (0.5, 2.0)),
    (".jpg", "strong", (0.5, 2.0)),
    (".png", "weak", (0.5, 2.0)),
    (".png", "strong", (0.5, 2.0)),
    (".jpg", "weak", (0.25, 1.0)),
)
"""The images' suffix, the strength of ``driving`` and the scale; the last is one where JPEGs can be read reduced."""

LEAST = {"OpenCV by hand": 0.9, "torchvision.transforms.v2": 1.5}
"""How many times as many images a second there shall be."""

BATCH_SIZE = 8

_FORMATS = {".jpg": "JPEG", ".png": "PNG"}


def input_pipeline(
    pairs: int,
    size: tuple[int, int] = (1024, 2048),
    crop: tuple[int, int] = (512, 512),
    images: int = 8,
    batches: int = 2,
    cases: Sequence[tuple[str, Strength, tuple[float, float]]] = CASES,
) -> Iterator[Comparison]:
    """Compares the images per second of one core: image and PNG mask decoded, cropped, augmented, made a batch.

    Seconds are CPU time, so that other programs on the machine do not count.

    Args:
        pairs: measurements of each.
        size: height and width of the images in pixels.
        crop: height and width of the crops in pixels.
        images: number of images on disk.
        batches: batches of one measurement.
        cases: as ``CASES``.

    Yields:
        Two rows for each case, one over each of ``LEAST``.
    """
    with TemporaryDirectory() as folder:
        for suffix, strength, scale in cases:
            root = Path(folder, suffix)
            if not root.exists():
                write_image_folder(root, size, images, suffix)
            ways: list[_Reading | OpenCVByHand | Torchvision] = [
                _Reading(labelled_images(root, TrainTransform(crop, scale, strength=strength))),
                OpenCVByHand(root, suffix, crop, scale, strength),
                Torchvision(root, suffix, crop, scale, strength, min(size)),
            ]
            names = list(FolderDomain(str(root)).names("train"))
            for way in ways:
                way(names[:1], 0)
            turns = [range(turn * batches, (turn + 1) * batches) for turn in range(pairs)]
            measured = [[_images_per_second(way, names, turn) for way in ways] for turn in turns]
            case = f"{_FORMATS[suffix]} {size[1]} × {size[0]} → {crop[1]} × {crop[0]}, scale {scale[0]} to {scale[1]}"
            for column, (reference, least) in enumerate(LEAST.items(), 1):
                yield Comparison.of_pairs(
                    f"{case}, {strength}, over {reference}",
                    "images a second",
                    [(row[0], row[column]) for row in measured],
                    least=least,
                )


def labelled_images(root: Path, transform: TrainTransform) -> DomainDataset:
    """Returns the images of a folder that ``write_image_folder`` wrote, as training reads them.

    Args:
        root: the folder.
        transform: what is done to them.
    """
    domain = FolderDomain(str(root))
    label_map = LabelMap(domain.classes, domain.label_map, list(SyntheticStreets.classes or ()))
    return DomainDataset(
        domain,
        "source",
        domain.names("train"),
        channels=3,
        read_mask=MaskReader(domain, "source", {"": label_map}),
        transform=transform,
        stream="source",
    )


class _Reading:
    """Reads batches as training does."""

    def __init__(self, dataset: DomainDataset) -> None:
        self.dataset = dataset

    def __call__(self, names: Sequence[str], seed: int) -> object:
        indices = [self.dataset.names.index(name) for name in names]
        return collate([self.dataset[Draw(image, seed + place)] for place, image in enumerate(indices)])


def _images_per_second(read: Callable[[Sequence[str], int], object], names: Sequence[str], numbers: range) -> float:
    started = time.process_time()
    for number in numbers:
        places = range(number * BATCH_SIZE, (number + 1) * BATCH_SIZE)
        read([names[place % len(names)] for place in places], places[0])
    return len(numbers) * BATCH_SIZE / (time.process_time() - started)

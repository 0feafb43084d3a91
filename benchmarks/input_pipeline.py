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
            names = FolderDomain(str(root)).names("train")
            dataset = labelled_images(root, TrainTransform(crop, scale, strength=strength))

            def read_batch(draws: Sequence[int], dataset: DomainDataset = dataset) -> object:
                return collate([dataset[Draw(draw % images, draw)] for draw in draws])

            by_hand = OpenCVByHand(root, suffix, crop, scale, strength)
            torchvision = Torchvision(root, suffix, crop, scale, strength, min(size))
            ways: list[Callable[[Sequence[int]], object]] = [read_batch]
            for reference in (by_hand, torchvision):
                ways.append(
                    lambda draws, reference=reference: reference([names[draw % images] for draw in draws], draws[0])
                )
            for way in ways:
                way([0])
            measured = [[_images_per_second(way, batches, turn) for way in ways] for turn in range(pairs)]
            case = f"{suffix[1:].upper()} {size[1]} × {size[0]} → {crop[1]} × {crop[0]}, scale {scale[0]}–{scale[1]}"
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


def _images_per_second(read: Callable[[Sequence[int]], object], batches: int, turn: int) -> float:
    started = time.process_time()
    for batch in range(turn * batches, (turn + 1) * batches):
        read(range(batch * BATCH_SIZE, (batch + 1) * BATCH_SIZE))
    return batches * BATCH_SIZE / (time.process_time() - started)

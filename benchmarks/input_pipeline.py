"""Reading and augmenting training images over the same work written with OpenCV."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.comparison import Comparison
from benchmarks.image_folder import write_image_folder
from datamodules import FolderDomain, SyntheticStreets
from datamodules.batch import IGNORE, DomainBatch
from datamodules.dataset import DomainDataset, MaskReader, collate
from datamodules.transforms import TrainTransform

Work = Literal["none", "weak", "strong"]
"""What is done to the images: the crop alone, or the preset ``driving`` of a strength."""

CROP = (192, 256)
SCALE = (0.5, 1.0)
BATCH_SIZE = 8
TIMES_THROUGH = 4
"""Passes over the images in one measurement."""


def input_pipeline(pairs: int, images: int = 32, size: tuple[int, int] = (360, 480)) -> Iterator[Comparison]:
    """Compares the images per second of one core: JPEG and PNG mask decoded, cropped, augmented, made a batch.

    Seconds are CPU time, so that other programs on the machine do not count.

    Args:
        pairs: measurements of each.
        images: number of images on disk.
        size: their height and width in pixels.

    Yields:
        One row for each ``Work``.
    """
    with TemporaryDirectory() as folder:
        write_image_folder(Path(folder), size, images, ".jpg")
        domain = FolderDomain(folder)
        names = list(domain.names("train"))
        classes = len(SyntheticStreets.classes or ())
        for work in get_args(Work):
            preset: Literal["none", "driving"] = "none" if work == "none" else "driving"
            dataset = DomainDataset(
                domain,
                "source",
                names,
                channels=3,
                read_mask=MaskReader(domain, "source", classes, "label_map"),
                transform=TrainTransform(CROP, SCALE, preset, strength="strong" if work == "strong" else "weak"),
                stream="source",
            )

            def read_batch(draws: Sequence[int], dataset: DomainDataset = dataset) -> DomainBatch:
                return collate([dataset[draw % images, draw] for draw in draws])

            def read_by_hand(draws: Sequence[int], work: Work = work) -> DomainBatch:
                chosen = [names[draw % images] for draw in draws]
                return batch_by_hand(Path(folder), chosen, work, np.random.default_rng(draws[0]))

            read_batch([0]), read_by_hand([0])
            measured = [
                (_images_per_second(read_batch, images), _images_per_second(read_by_hand, images)) for _ in range(pairs)
            ]
            yield Comparison.of_pairs(
                f"{work}, {size[0]} × {size[1]} → {CROP[0]} × {CROP[1]}", "images a second", measured
            )


def batch_by_hand(folder: Path, names: Sequence[str], work: Work, generator: np.random.Generator) -> DomainBatch:
    """Reads and augments a batch as ``DomainDataset`` does, with OpenCV and without any check.

    Args:
        folder: holds ``images/<name>.jpg`` and ``masks/<name>.png``.
        names: the images of the batch.
        work: what is done.
        generator: where all chance comes from.

    Returns:
        ``image`` (B, 3, H, W) uint8 and ``mask`` (B, H, W) uint8, of the size of ``CROP``.
    """
    images, masks = [], []
    for name in names:
        image = cv2.cvtColor(_read(folder / "images" / f"{name}.jpg", cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        mask = _read(folder / "masks" / f"{name}.png", cv2.IMREAD_UNCHANGED)
        image, mask = _crop(image, mask, 1.0 if work == "none" else generator.uniform(*SCALE), generator)
        if work != "none" and generator.random() < 0.5:
            image, mask = cv2.flip(image, 1), cv2.flip(mask, 1)
        if work == "strong":
            image = _change_colours(image, generator) if generator.random() < 0.8 else image
            image = cv2.GaussianBlur(image, (0, 0), generator.uniform(0.1, 2.0)) if generator.random() < 0.5 else image
            image = _add_noise(image, generator) if generator.random() < 0.3 else image
        images.append(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))))
        masks.append(torch.from_numpy(mask))
    return {"image": torch.stack(images), "mask": torch.stack(masks), "name": list(names), "domain": "source"}


def _read(path: Path, flags: int) -> NDArray[Any]:
    array = cv2.imread(str(path), flags)
    assert array is not None, "the benchmark wrote it"
    return array


def _crop(
    image: NDArray[Any], mask: NDArray[Any], factor: float, generator: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    region = [round(side / factor) for side in CROP]
    top, left = (
        int(generator.integers(max(length - side, 0) + 1)) for length, side in zip(mask.shape, region, strict=True)
    )
    place = slice(top, top + region[0]), slice(left, left + region[1])
    image, mask = image[place], mask[place]
    height, width = (min(wanted, round(have * factor)) for wanted, have in zip(CROP, mask.shape, strict=True))
    if factor != 1:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    edges = 0, CROP[0] - mask.shape[0], 0, CROP[1] - mask.shape[1]
    if any(edges):
        image = cv2.copyMakeBorder(image, *edges, cv2.BORDER_REFLECT)
        mask = cv2.copyMakeBorder(mask, *edges, cv2.BORDER_CONSTANT, value=[IGNORE])
    return image, np.ascontiguousarray(mask)


def _change_colours(image: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    brightness, contrast, saturation = generator.uniform(0.6, 1.4, 3)
    image = cv2.convertScaleAbs(image, alpha=brightness)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    image = cv2.addWeighted(image, contrast, image, 0, (1 - contrast) * float(grey.mean()))
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    image = cv2.addWeighted(image, saturation, grey, 1 - saturation, 0)
    turned = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    turn = round(180 * generator.uniform(-0.1, 0.1))
    turned[..., 0] = cv2.LUT(turned[..., 0], ((np.arange(256) + turn) % 180).astype(np.uint8))
    return cv2.cvtColor(turned, cv2.COLOR_HSV2RGB)


def _add_noise(image: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    noise = generator.standard_normal(image.shape, np.float32)
    return cv2.addWeighted(image, 1.0, noise, 255 * generator.uniform(0.01, 0.05), 0, dtype=cv2.CV_8U)


def _images_per_second(read: Callable[[Sequence[int]], DomainBatch], images: int) -> float:
    started = time.process_time()
    for first in range(0, TIMES_THROUGH * images, BATCH_SIZE):
        read(range(first, first + BATCH_SIZE))
    return TIMES_THROUGH * images / (time.process_time() - started)

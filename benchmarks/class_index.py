"""Counting the pixels of each class in all masks, as rare-class sampling needs them, over decoding the masks alone."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import cv2

from benchmarks.comparison import Comparison
from benchmarks.image_folder import write_image_folder
from datamodules import FolderDomain, SyntheticStreets
from datamodules.class_index import class_counts
from datamodules.label_map import LabelMap
from datamodules.mask_reader import MaskReader

LEAST = 0.9
"""The share of the masks that could be decoded in the same time."""

MASKS_AT_ONCE = 16
"""Masks that a process takes at a time."""


def class_index(
    pairs: int, size: tuple[int, int] = (1024, 2048), drawn: int = 8, times: int = 372, processes: int = 2
) -> Iterator[Comparison]:
    """Compares the masks per second of both, with as many processes and nothing in the cache.

    Args:
        pairs: measurements of each.
        size: height and width of the masks in pixels.
        drawn: number of masks on disk.
        times: how often each is read in one measurement.
        processes: processes that read.

    Yields:
        One row by wall time, in which the processes are started and wait for each other, and one by CPU time.
    """
    with TemporaryDirectory() as folder, patch.dict(os.environ, {"SEGUE_CACHE": str(Path(folder, "cache"))}):
        root = Path(folder, "streets")
        write_image_folder(root, size, drawn, ".jpg")
        domain, classes = FolderDomain(str(root)), list(SyntheticStreets.classes or ())
        reader = MaskReader(domain, "source", {"": LabelMap(None, {}, classes)})
        names = list(domain.names("train")) * times

        def count(turn: int) -> None:
            class_counts(
                names,
                len(classes),
                read_mask=reader.read_ids,
                to_classes=reader.to_classes,
                mask_file=reader.file,
                key=f"turn {turn}",  # another one is not in the cache
                title="masks",
                workers=processes,
            )

        def decode(_: int) -> None:
            with multiprocessing.Pool(processes, cv2.setNumThreads, (0,)) as pool:
                pool.map(partial(_decode, domain), names, MASKS_AT_ONCE)
                pool.close()
                pool.join()

        measured = [[_masks_per_second(way, len(names), turn) for way in (count, decode)] for turn in range(pairs)]
        case = f"{size[1]} × {size[0]}, {len(names)} masks, {processes} processes"
        for number, unit in enumerate(("masks a second", "masks a CPU second")):
            rates = [(counted[number], decoded[number]) for counted, decoded in measured]
            yield Comparison.of_pairs(case, unit, rates, least=LEAST)


def _decode(domain: FolderDomain, name: str) -> None:
    domain.read_mask(name)


def _masks_per_second(read: Callable[[int], None], masks: int, turn: int) -> Sequence[float]:
    started, worked = time.perf_counter(), _cpu_seconds()
    read(turn)
    return masks / (time.perf_counter() - started), masks / (_cpu_seconds() - worked)


def _cpu_seconds() -> float:
    """Returns the CPU time of this process and of those that it started and that have ended."""
    return sum(os.times()[:4])

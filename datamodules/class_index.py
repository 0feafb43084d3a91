"""How many pixels of each class the masks hold: counted once, in parallel, and kept in a cache."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from torch import Generator
from torch.utils.data import DataLoader, Dataset, Sampler

from datamodules.batch import IGNORE
from datamodules.class_cache import ClassCache, stamp_files
from datamodules.domain import IdArray, MaskArray

_MASKS_AT_ONCE = 16
_PIXELS_AT_ONCE = 2**17  # what is worked out beside them then stays in the processor's cache
_LEAST_MASKS_OF_A_WORKER = 32


def class_counts(
    names: Sequence[str],
    classes: int,
    *,
    read_mask: Callable[[str], IdArray],
    to_classes: Callable[[IdArray, str], MaskArray],
    mask_file: Callable[[str], Path | None],
    key: str,
    title: str,
    workers: int | None = None,
) -> NDArray[np.uint32]:
    """Counts the pixels of each class in each mask, by worker processes, and reads from the cache what it knows.

    A file whose size and time of change are those of the cache is not opened. Under DDP call it on rank 0 first, in
    ``prepare_data``, and then on every rank: the others find all in the cache, or count for themselves where no cache
    can be written. Masks that are in no file are counted every time.

    Args:
        names: the images whose masks are counted.
        classes: the number of classes of the run.
        read_mask: reads a mask as the domain has it, (H, W) ids. It is pickled to the workers, as ``to_classes`` is.
        to_classes: maps ids of a mask, (1, N), to class ids of the run with 255 = ignore; told the image's name for
            its errors. It sees each id of a mask once, which saves mapping every pixel.
        mask_file: the file of a mask; None if it is in none.
        key: all else that decides the counts, as text: the domain and how its ids become classes.
        title: what is counted, for the progress bar, such as ``source``.
        workers: processes that count; 0 counts in this one, and by default there is one for every core.

    Returns:
        (names, classes) pixel counts; ignored pixels are in none of them.

    Raises:
        ValueError: if a mask is broken or holds an id that is no class; what was counted until then is kept.
        OSError: if a mask cannot be read.
        RuntimeError: if a worker is killed.
    """
    stamps = stamp_files(mask_file(name) for name in names)
    cache = ClassCache(f"{key}\n{classes} classes", classes)
    counts, known = cache.look_up(stamps)
    missing = np.flatnonzero(~known)
    if not missing.size:
        return counts
    chunks = [missing[start : start + _MASKS_AT_ONCE] for start in range(0, len(missing), _MASKS_AT_ONCE)]
    workers = min(_cores() if workers is None else workers, len(missing) // _LEAST_MASKS_OF_A_WORKER)
    rank_zero_info(f"{title}: counting the pixels of each class in {len(missing)} masks.")
    loader: DataLoader[NDArray[np.uint32] | Exception] = DataLoader(
        _Counts(classes, read_mask, to_classes),
        batch_size=None,
        sampler=_NamesOfChunks(names, chunks),
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_prepare_worker,
        generator=Generator(),  # the global one must not depend on what the cache holds
    )
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not console.is_terminal or getattr(rank_zero_only, "rank", 0) != 0
    try:
        with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
            task = progress.add_task(f"{title}: counting classes", total=len(missing))
            for chunk, counted in zip(chunks, loader, strict=True):
                if isinstance(counted, Exception):
                    raise counted
                counts[chunk], known[chunk] = counted, True
                progress.advance(task, len(chunk))
    except RuntimeError as error:
        # What DataLoader says of a killed worker names no file.
        left = [names[index] for index in np.flatnonzero(~known)[: _MASKS_AT_ONCE * max(1, 2 * workers)]]
        if not left:
            raise
        raise RuntimeError(
            f"{title}: counting classes ended ({error}) at one of the masks {left[0]} to {left[-1]}. If a worker was "
            "killed, there may not be memory enough for all of them: set data.workers lower."
        ) from error
    finally:
        counted_now = missing[known[missing]]
        cache.store(stamps[counted_now], counts[counted_now])
    return counts


def count_ids(mask: IdArray) -> tuple[IdArray, NDArray[np.int64]]:
    """Returns the ids in a mask, each once, and how many pixels each has.

    Args:
        mask: (H, W) uint8 or uint16.

    Returns:
        (N) ids of the mask's type, ascending, and (N) pixel counts.
    """
    pixels = mask.reshape(-1)
    counts = np.zeros(np.iinfo(mask.dtype).max + 1, np.int64)
    for start in range(0, pixels.size, _PIXELS_AT_ONCE):
        of_part = _count_part(pixels[start : start + _PIXELS_AT_ONCE])
        counts[: len(of_part)] += of_part
    ids = np.flatnonzero(counts)
    return ids.astype(mask.dtype), counts[ids]


def _count_part(pixels: NDArray[np.integer]) -> NDArray[np.int64]:
    # Masks are made of long runs of one id. Counting the runs takes a twentieth of the time that decoding does, and
    # counting each pixel a third. Where runs end is looked for in words of eight pixels first: few have an end.
    whole = pixels.size // 8 * 8
    ends = np.ones(whole, np.bool_)
    np.not_equal(pixels[1:whole], pixels[:whole][:-1], out=ends[:-1])
    words = ends.view(np.uint64)
    with_end = np.flatnonzero(words != 0)
    if 2 * len(with_end) >= len(words):
        return np.bincount(pixels)
    inside = np.flatnonzero(words[with_end].view(np.bool_))
    last = np.append(8 * with_end[inside // 8] + inside % 8, np.arange(whole, pixels.size))
    return np.bincount(pixels[last], weights=np.diff(last, prepend=-1)).astype(np.int64)


class _Counts(Dataset[NDArray[np.uint32] | Exception]):
    """Counts the masks of which it is told the names; that the names are not in it keeps workers small."""

    def __init__(
        self,
        classes: int,
        read_mask: Callable[[str], IdArray],
        to_classes: Callable[[IdArray, str], MaskArray],
    ) -> None:
        self.classes = classes
        self.read_mask = read_mask
        self.to_classes = to_classes

    def __getitem__(self, names: list[str]) -> NDArray[np.uint32] | Exception:
        try:
            return np.stack([self._count(name) for name in names])
        except (ValueError, OSError) as error:
            # Handed over rather than raised: a loader would wrap the message in a traceback of its worker.
            return error

    def _count(self, name: str) -> NDArray[np.uint32]:
        ids, pixels = count_ids(self.read_mask(name))
        classes = self.to_classes(ids[None], name)[0]
        wrong = classes[(classes >= self.classes) & (classes != IGNORE)]
        if wrong.size:
            raise ValueError(
                f"mask {name} holds class id {wrong[0]}; classes are 0 to {self.classes - 1} and 255 (ignore)."
            )
        counts = np.bincount(classes, weights=pixels, minlength=self.classes)
        return counts[: self.classes].astype(np.uint32)


class _NamesOfChunks(Sampler[list[str]]):
    def __init__(self, names: Sequence[str], chunks: Sequence[NDArray[np.int64]]) -> None:
        self.names = names
        self.chunks = chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[list[str]]:
        for chunk in self.chunks:
            yield [self.names[index] for index in chunk]


def _as_it_is(counts: object) -> object:
    return counts


def _prepare_worker(worker: int) -> None:
    # One thread each: there is a worker for every core.
    cv2.setNumThreads(0)
    # Ctrl-C reaches all processes, and the main one ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

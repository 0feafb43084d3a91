"""How many pixels of each class the masks hold: counted once, in parallel, and kept in a cache."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only, rank_zero_warn
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from torch import Generator
from torch.utils.data import Dataset, Sampler

from datamodules.batch import IGNORE
from datamodules.class_cache import ClassCache, stamp_files
from datamodules.loaders import WatchedLoader, cores, take_in_hand
from datamodules.skipped_files import is_fault_of_file

_Counted = tuple[NDArray[np.uint32], dict[int, Exception], bool]
"""(N, classes) pixel counts, what was wrong with which of the N masks, and whether that can be passed over."""

_MASKS_AT_ONCE = 16
_PIXELS_AT_ONCE = 2**21  # what is worked out beside them stays in the processor's cache, and each part costs 25 µs
_LEAST_MASKS_OF_A_WORKER = 32


def class_counts(
    names: Sequence[str],
    classes: int,
    *,
    read_mask: Callable[[str], NDArray[Any]],
    to_classes: Callable[[NDArray[Any], str], NDArray[Any]],
    mask_file: Callable[[str], Path | None],
    key: str,
    title: str,
    workers: int | None = None,
    skip_bad_files: bool = False,
) -> NDArray[np.uint32]:
    """Counts the pixels of each class in each mask, by worker processes, and reads from the cache what it knows.

    A file whose size and time of change are those of the cache is not opened. Under DDP call it on rank 0 first, in
    ``prepare_data``, and then on every rank: the others find all in the cache, or count for themselves where no cache
    can be written. Masks that are in no file are counted every time.

    Args:
        names: the images whose masks are counted.
        classes: the number of classes of the run.
        read_mask: reads a mask as the domain has it, (H, W) ids. It is pickled to the workers, as ``to_classes`` is.
        to_classes: maps ids of an image's mask, (H, W), to class ids of the run with 255 = ignore; the name is for its
            errors. It is given each id of a mask once, as (1, N), which saves mapping every pixel.
        mask_file: the file of a mask; None if it is in none.
        key: all else that decides the counts, as text: the domain and how its ids become classes.
        title: what is counted, for the progress bar, such as ``source``.
        workers: processes that count; 0 counts in this one, and by default there is one for every core.
        skip_bad_files: whether masks that cannot be read have no pixels, with a warning, instead of an error.

    Returns:
        (names, classes) pixel counts; ignored pixels are in none of them.

    Raises:
        ValueError: if a mask is broken or holds an id that is no class; what was counted until then is kept.
        OSError: if a mask cannot be opened.
        ChildProcessError: if a worker is killed; it names the mask that the worker had in hand.
    """
    stamps = stamp_files(mask_file(name) for name in names)
    cache = ClassCache(f"{key}\n{classes} classes", classes)
    counts, known = cache.look_up(stamps)
    missing = np.flatnonzero(~known)
    if not missing.size:
        return counts
    chunks = [missing[start : start + _MASKS_AT_ONCE] for start in range(0, len(missing), _MASKS_AT_ONCE)]
    workers = min(cores() if workers is None else workers, len(missing) // _LEAST_MASKS_OF_A_WORKER)
    rank_zero_info(f"{title}: counting the pixels of each class in {len(missing)} masks.")
    loader = WatchedLoader(
        _Counts(title, classes, read_mask, to_classes, skip_bad_files),
        batch_size=None,
        sampler=_NamesOfChunks(names, chunks),
        num_workers=workers,
        collate_fn=_as_it_is,
        generator=Generator(),  # the global one must not depend on what the cache holds
    )
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not console.is_terminal or getattr(rank_zero_only, "rank", 0) != 0
    try:
        with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
            task = progress.add_task(f"{title}: counting classes", total=len(missing))
            for chunk, (counted, errors, goes_on) in zip(chunks, loader, strict=True):
                if not goes_on:
                    raise list(errors.values())[-1]
                for place, error in errors.items():
                    rank_zero_warn(f"{title} mask {names[chunk[place]]} counts as one without pixels: {error}")
                counts[chunk], known[chunk] = counted, True
                known[chunk[list(errors)]] = False
                progress.advance(task, len(chunk))
    finally:
        counted_now = missing[known[missing]]
        cache.store(stamps[counted_now], counts[counted_now])
    return counts


def count_ids(mask: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
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


def _count_part(pixels: NDArray[Any]) -> NDArray[np.int64]:
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
    last = np.append((with_end[inside >> 3] << 3) + (inside & 7), np.arange(whole, pixels.size))
    return np.bincount(pixels[last], weights=np.diff(last, prepend=-1)).astype(np.int64)


class _Counts(Dataset[_Counted]):
    """Counts the masks of which it is told the names; that the names are not in it keeps workers small."""

    def __init__(
        self,
        title: str,
        classes: int,
        read_mask: Callable[[str], NDArray[Any]],
        to_classes: Callable[[NDArray[Any], str], NDArray[Any]],
        skip_bad_files: bool,
    ) -> None:
        self.skip_bad_files = skip_bad_files
        self.title = title
        self.classes = classes
        self.read_mask = read_mask
        self.to_classes = to_classes

    def __getitem__(self, names: list[str]) -> _Counted:
        counts: NDArray[np.uint32] = np.zeros((len(names), self.classes), np.uint32)
        errors: dict[int, Exception] = {}
        for place, name in enumerate(names):
            take_in_hand(f"{self.title} mask {name}")
            # Errors are handed over rather than raised: a loader would wrap the message in a traceback of its worker.
            try:
                mask = self.read_mask(name)
            except (ValueError, OSError) as error:
                errors[place] = error
                if self.skip_bad_files and is_fault_of_file(error):
                    continue
                return counts, errors, False
            try:
                counts[place] = self._count(name, mask)
            except ValueError as error:
                errors[place] = error
                return counts, errors, False
        return counts, errors, True

    def _count(self, name: str, mask: NDArray[Any]) -> NDArray[np.uint32]:
        ids, pixels = count_ids(mask)
        try:
            classes = self.to_classes(ids[None], name)[0]
        except ValueError:
            self.to_classes(mask, name)  # says how many pixels are wrong
            raise
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
            yield [self.names[index] for index in chunk.tolist()]


def _as_it_is(counts: object) -> object:
    return counts

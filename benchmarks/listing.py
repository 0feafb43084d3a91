"""Listing a folder of very many files, over the least that Python can do."""

import gc
import multiprocessing
import os
import re
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TypeVar

from benchmarks.comparison import Comparison
from datamodules import FolderDomain

FILES_OF_A_FOLDER = 1000
MOST_PROCESSES = 3
"""Pairs of processes that are started to measure the memory, which no other program disturbs."""

Result = TypeVar("Result")


def listing(pairs: int, files: int = 1_000_000) -> Iterator[Comparison]:
    """Compares ``FolderDomain.names`` with ``os.walk`` on a tree of empty files, and its names with a list of strings.

    Each measurement takes a new process, forked from this one, so that the modules are imported before.

    Args:
        pairs: measurements of the time; the memory is measured at most three times.
        files: number of images, without masks.

    Yields:
        The wall and CPU time until the first name is there, the memory that the names take and that listing takes at
        its peak and, where Linux tells, the private memory of a forked worker that has read each name once.

    Raises:
        OSError: if the disk of the temporary folder has no room for so many files.
    """
    with TemporaryDirectory() as folder:
        _write_tree(Path(folder), files)
        case = f"{files:,} files"
        seconds = [
            [_forked(partial(work, folder)) for work in (seconds_of_names, seconds_of_walk)] for _ in range(pairs)
        ]
        for clock, unit in enumerate(("wall s", "CPU s")):
            measured = [(segue[clock], walk[clock]) for segue, walk in seconds]
            yield Comparison.of_pairs(f"{case}, to the first name, os.walk beside it", unit, measured)
        repeats = range(min(pairs, MOST_PROCESSES))
        sizes = [[_forked(partial(memory, way, folder)) for way in (_names, _list)] for _ in repeats]
        for place, unit in enumerate(("bytes a file", "peak bytes a file")):
            measured = [(segue[place] / files, walked[place] / files) for segue, walked in sizes]
            yield Comparison.of_pairs(f"{case}, a list of strings beside it", unit, measured)
        if sys.platform == "linux":
            workers = [[_forked(partial(worker_memory, way, folder)) for way in (_names, _list)] for _ in repeats]
            measured = [(segue / files, walked / files) for segue, walked in workers]
            yield Comparison.of_pairs(f"{case}, forked worker, a list beside it", "private bytes a file", measured)


def seconds_of_names(folder: str) -> tuple[float, float]:
    """Returns the wall and CPU seconds until the first name is there."""
    wall, cpu = time.perf_counter(), time.process_time()
    _ = _names(folder)[0]
    return time.perf_counter() - wall, time.process_time() - cpu


def seconds_of_walk(folder: str) -> tuple[float, float]:
    """Returns the wall and CPU seconds of a walk that keeps nothing."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in os.walk(folder):
        pass
    return time.perf_counter() - wall, time.process_time() - cpu


def memory(list_names: Callable[[str], Sequence[str]], folder: str) -> tuple[int, int]:
    """Returns the bytes that the names take, and those that listing them takes at its peak."""
    tracemalloc.start()
    names = list_names(folder)
    gc.collect()
    sizes = tracemalloc.get_traced_memory()
    del names
    return sizes


def worker_memory(list_names: Callable[[str], Sequence[str]], folder: str) -> int:
    """Returns the private bytes of a forked process that has read each name once."""
    return _private_bytes_of_worker(list_names(folder))


def _names(folder: str) -> Sequence[str]:
    return FolderDomain(folder).names("train")


def _list(folder: str) -> list[str]:
    return sorted(str(Path(above, name)) for above, _, names in os.walk(folder) for name in names)


def _private_bytes_of_worker(names: Sequence[str]) -> int:
    def read_all() -> int:
        before = _private_bytes()
        for name in names:
            assert name
        return _private_bytes() - before

    return _forked(read_all)


def _private_bytes() -> int:
    found = re.search(r"Private_Dirty: +(\d+) kB", Path("/proc/self/smaps_rollup").read_text())
    assert found is not None
    return 1024 * int(found[1])


def _write_tree(root: Path, files: int) -> None:
    """Writes names of the length that those of driving data sets have, a thousand in a folder."""
    status = os.statvfs(gettempdir())
    # Some file systems have no fixed number and say 0.
    if status.f_files and status.f_favail < 1.01 * files:
        raise OSError(f"{gettempdir()} has room for {status.f_favail} files, not {files}; set TMPDIR to another disk.")
    for number in range(files):
        folder = root / "images" / f"city_{number // FILES_OF_A_FOLDER:06d}"
        if number % FILES_OF_A_FOLDER == 0:
            folder.mkdir(parents=True)
        Path(folder, f"{folder.name}_{number:06d}_000019_leftImg8bit.png").touch()


def _forked(work: Callable[[], Result]) -> Result:
    """Does the work in a process that starts with all that this one holds."""
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=lambda: sender.send(work()))
    process.start()
    sender.close()
    result: Result = receiver.recv()
    process.join()
    return result

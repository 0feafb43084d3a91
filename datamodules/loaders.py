"""Loaders whose processes can die without taking the name of the file with them."""

import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, ClassVar
from weakref import WeakSet

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

_SLOT = np.dtype([("process", np.int64), ("image", "S4088")])
"""What a worker writes down: 4 KiB, as long as a path can be."""

_slot: NDArray[np.void] | None = None
"""The slot of this process, if it is a worker."""


def take_in_hand(image: str) -> None:
    """Notes the image that this process reads next, so that the run can name it should the process die of it.

    Takes a microsecond in a worker and does nothing in the main process.

    Args:
        image: what it is called in an error, such as ``source image aachen_000000``.
    """
    if _slot is not None:
        _slot["image"] = os.fsencode(image)


def cores() -> int:
    """Returns how many processes can work at the same time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Hands:
    """Prepares the workers of one loader, and knows the image that each has in hand.

    It is their ``worker_init_fn``. The workers write into memory that outlives them.

    Args:
        workers: the number of workers, at least 1.
    """

    _known: ClassVar["WeakSet[Hands]"] = WeakSet()

    def __init__(self, workers: int) -> None:
        memory = torch.zeros(workers, _SLOT.itemsize, dtype=torch.uint8)
        self._memory: torch.Tensor = memory.share_memory_()  # type: ignore[no-untyped-call]  # torch gives it no types
        self._known.add(self)

    def __call__(self, worker: int) -> None:
        """Prepares this process to be a worker.

        Args:
            worker: its number.
        """
        global _slot
        _slot = self._slots()[worker : worker + 1]
        _slot["process"] = os.getpid()
        # Each worker would start as many threads of OpenCV as there are cores.
        cv2.setNumThreads(0)
        # Ctrl-C and a scheduler's SIGTERM reach the whole group of processes; workers must outlive the step that the
        # main process finishes then.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _end_by_the_main_process_alone()

    @classmethod
    def of(cls, processes: Iterable[int]) -> list[str]:
        """Returns the images that workers of any loader had in hand last.

        Args:
            processes: the process ids of the workers.
        """
        slots = np.concatenate([np.empty(0, _SLOT), *(hands._slots() for hands in cls._known)])
        found = slots[np.isin(slots["process"], list(processes))]["image"]
        return [os.fsdecode(image) for image in found.tolist() if image]

    def _slots(self) -> NDArray[np.void]:
        slots: NDArray[np.void] = self._memory.numpy().view(_SLOT)[:, 0]
        return slots


class WatchedLoader(DataLoader[Any]):
    """A loader that names the image which a worker had in hand when it died.

    Args:
        dataset: the images; it calls ``take_in_hand`` before it reads one.
        options: as of ``DataLoader``.

    Raises:
        ChildProcessError: from the iterator, or wherever the main process is at that time, if a worker dies.
    """

    def __init__(self, dataset: Dataset[Any], **options: Any) -> None:  # noqa: ANN401 - as of DataLoader
        workers = options.get("num_workers", 0)
        # Lightning makes some loaders anew, from their attributes: they keep their workers' hands.
        super().__init__(dataset, **{"worker_init_fn": Hands(workers) if workers else None, **options})

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch promises a private class of its own
        """Starts the workers, or has them start again, and returns an iterator over the batches."""
        with _image_named():
            iterator = super().__iter__()
        _watch_signal()
        return _watched(iterator)


class DrawLoader(WatchedLoader):
    """A loader over a DrawSampler; it tells Lightning that it can resume.

    It has no state of its own: where it goes on follows from the number of batches consumed.
    """

    def state_dict(self) -> dict[str, Any]:
        """Returns nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes nothing."""


def _end_by_the_main_process_alone() -> None:
    # A SIGTERM of the main process itself is how leftover workers are ended: to ignore it would keep that process from
    # leaving. Only sigwaitinfo tells who sent a signal. Without it (macOS, Windows) a SIGTERM of anyone ends a worker.
    main = multiprocessing.parent_process()
    if main is None or not hasattr(signal, "sigwaitinfo"):
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def obey() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != main.pid:
            pass
        os._exit(0)

    threading.Thread(target=obey, daemon=True).start()


def _watched(iterator: Iterator[Any]) -> Iterator[Any]:
    processes = multiprocessing.active_children()
    try:
        with _image_named():
            yield from iterator
    except (ConnectionError, EOFError) as error:
        # A batch is fetched from the worker that made it, and that one may be about to die.
        for _ in range(20):
            for process in processes:
                code = process.exitcode
                if code and process.pid and Hands.of([process.pid]):
                    end = f"exit code {code}" if code > 0 else f"signal: {signal.strsignal(-code)}"
                    raise _death([process.pid], f"ended with {end}") from error
            time.sleep(0.05)
        raise


class _NamingHandler:
    """Calls torch's handler of SIGCHLD and names the image in its error."""

    def __init__(self, handler: Callable[[int, FrameType | None], object]) -> None:
        self._handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        with _image_named():
            self._handler(number, frame)


def _watch_signal() -> None:
    # torch raises its error in the midst of whatever the main process does when a worker dies: most often that is
    # not the waiting for a batch. Its handler came with the first workers; Lightning may have taken it away since.
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return
    handler = signal.getsignal(signal.SIGCHLD)
    if callable(handler) and not isinstance(handler, _NamingHandler):
        signal.signal(signal.SIGCHLD, _NamingHandler(handler))


@contextmanager
def _image_named() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        death = re.match(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) ([^.]*)", str(error))
        if death is None:
            raise
        if isinstance(error.__cause__, ChildProcessError):  # our handler's, which torch caught and made its own of
            # A new one: two exceptions that hold each other would keep the other workers alive.
            raise ChildProcessError(str(error.__cause__)) from error
        raise _death([int(process) for process in death[1].split(",")], death[2]) from error


def _death(processes: Sequence[int], end: str) -> ChildProcessError:
    images = Hands.of(processes)
    last = f"the last image it took in hand was {' and '.join(images)}" if images else "it had no image in hand yet"
    return ChildProcessError(
        f"a process that reads images (pid {', '.join(map(str, processes))}) {end}; {last}. {_mend(end)} If it is the "
        "same image again, its file is what breaks the process: take it out of the data."
    )


def _mend(end: str) -> str:
    if "Bus error" in end:
        return "Too little shared memory is the usual reason: give /dev/shm more, or set data.workers lower."
    if "Segmentation fault" in end or "exit code" in end:
        return "data.workers: 0 reads in the main process and shows more."
    return "Too little memory is the usual reason: set data.workers or data.batch_size lower."

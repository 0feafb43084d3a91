"""Pixel counts of masks kept in a file, and what tells whether they still hold."""

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from numpy.typing import NDArray

Stamps = NDArray[np.void]
"""For each mask the hash of its file's path, the size, and when it was changed and put there; size -1 for no file."""

_STAMP = np.dtype([("file", "<u8"), ("size", "<i8"), ("changed", "<i8"), ("moved", "<i8")])


def stamp_files(paths: Iterable[Path | None]) -> Stamps:
    """Looks at files without opening them.

    Args:
        paths: the files; None for what is in no file.

    Returns:
        Their stamps, 32 bytes each.
    """
    return np.fromiter((_stamp(path) for path in paths), _STAMP)


def cache_folder() -> Path:
    """Returns the folder of what is worked out once: SEGUE_CACHE, else segue in XDG_CACHE_HOME or in ~/.cache.

    Raises:
        RuntimeError: if neither is set and there is no home.
    """
    if chosen := os.environ.get("SEGUE_CACHE"):
        return Path(chosen).expanduser()
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "segue"
    return Path.home() / ".cache" / "segue"


class ClassCache:
    """Pixel counts of masks in one file, under the hash of what decides them; ``32 + 4 * classes`` bytes a mask.

    A file that is damaged or cannot be written costs time, never a run.

    Args:
        key: what decides the counts beside the masks themselves.
        classes: the number of classes.
    """

    def __init__(self, key: str, classes: int) -> None:
        self.file_name = f"class-counts-{blake2b(key.encode(errors='surrogatepass'), digest_size=12).hexdigest()}.npz"
        self.classes = classes

    def look_up(self, stamps: Stamps) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Returns the counts of the masks that have not changed.

        Args:
            stamps: (N) of the masks.

        Returns:
            (N, classes) pixel counts, 0 for masks that are not known, and (N) which of them are known.
        """
        counts = np.zeros((len(stamps), self.classes), np.uint32)
        kept, kept_counts = self._read()
        if not len(kept):
            return counts, np.zeros(len(stamps), np.bool_)
        order = np.argsort(kept["file"])
        found = order[np.searchsorted(kept["file"][order], stamps["file"]).clip(max=len(kept) - 1)]
        known: NDArray[np.bool_] = (kept[found] == stamps) & (stamps["size"] >= 0)
        counts[known] = kept_counts[found[known]]
        return counts, known

    def store(self, stamps: Stamps, counts: NDArray[np.uint32]) -> None:
        """Adds counts to the file, in place of those that the same files had before.

        Args:
            stamps: (N) of masks that were counted, from before they were; those that are in no file are passed over.
            counts: (N, classes) their pixel counts.
        """
        in_files = stamps["size"] >= 0
        stamps, counts = stamps[in_files], counts[in_files]
        if not len(stamps):
            return
        # Read again: another process may have added to it while this one counted.
        kept, kept_counts = self._read()
        still = ~np.isin(kept["file"], stamps["file"])
        try:
            self._write(np.concatenate([kept[still], stamps]), np.concatenate([kept_counts[still], counts]))
        except (OSError, RuntimeError) as error:
            rank_zero_warn(
                f"the pixel counts of the masks cannot be kept ({error}): every run and every rank counts them anew. "
                "Set the environment variable SEGUE_CACHE to a folder that can be written."
            )

    def _read(self) -> tuple[Stamps, NDArray[np.uint32]]:
        nothing = np.empty(0, _STAMP), np.empty((0, self.classes), np.uint32)
        try:
            path = cache_folder() / self.file_name
            with np.load(path, allow_pickle=False) as archive:
                stamps, counts = archive["stamps"], archive["counts"]
            if stamps.dtype != _STAMP or counts.dtype != np.uint32 or counts.shape != (len(stamps), self.classes):
                raise ValueError("it holds something else")
        except FileNotFoundError:
            return nothing
        except Exception as error:  # a damaged archive raises nearly anything, and is only worth counting anew
            rank_zero_info(
                f"the pixel counts kept in {self.file_name} cannot be read ({error}); they are counted anew."
            )
            return nothing
        return stamps, counts

    def _write(self, stamps: Stamps, counts: NDArray[np.uint32]) -> None:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        # Written aside and put in place at once: whoever reads or writes at the same time sees a whole file.
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=self.file_name, suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as file:
                np.savez(file, stamps=stamps, counts=counts)
            Path(temporary).replace(folder / self.file_name)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise


def _stamp(path: Path | None) -> tuple[int, int, int, int]:
    if path is None:
        return 0, -1, 0, 0
    absolute = os.path.abspath(path)  # noqa: PTH100 - a million of them: four times as fast as Path.absolute
    number = int.from_bytes(blake2b(os.fsencode(absolute), digest_size=8).digest(), "little")
    try:
        status = os.stat(absolute)  # noqa: PTH116 - as fast, for the same million
    except OSError:
        # Whoever reads it says better what is wrong.
        return number, -1, 0, 0
    # The second time is for files that were put in place of others together with their dates.
    return number, status.st_size, status.st_mtime_ns, status.st_ctime_ns

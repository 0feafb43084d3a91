"""Names of images: many of them in little memory, the nearest to a mistyped one, and some of them for a message."""

from array import array
from collections.abc import Container, Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import count, islice, pairwise
from typing import overload

import numpy as np

_AT_ONCE = 4096


class Names(Sequence[str]):
    """Names in two arrays: tens of bytes each, where a list of strings takes a hundred.

    Forked workers share them for good: reading one changes no counter in memory that a list's strings would have
    copied, page by page.

    Args:
        names: the names, in the order to keep.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        text = bytearray()
        ends = array("q", [0])
        for name in names:
            # File systems hold bytes, and Python spells those that are no text so.
            text += name.encode("utf-8", "surrogateescape")
            ends.append(len(text))
        self._text = bytes(text)
        self._ends = np.array(ends, dtype=np.uint32 if len(text) < 2**32 else np.int64)

    def __len__(self) -> int:
        """Returns the number of names."""
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Names": ...
    def __getitem__(self, index: int | slice) -> "str | Names":
        """Returns one name, or those of a slice."""
        if isinstance(index, slice):
            return Names(self[number] for number in range(*index.indices(len(self))))
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} names, and none at {index}.")
        return self._text[self._ends[index] : self._ends[index + 1]].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        """Yields the names in order."""
        for first in range(0, len(self), _AT_ONCE):
            ends = self._ends[first : first + _AT_ONCE + 1].tolist()
            for start, end in pairwise(ends):
                yield self._text[start:end].decode("utf-8", "surrogateescape")

    def __eq__(self, other: object) -> bool:
        """Compares the names, with those of a list too."""
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    def __repr__(self) -> str:
        """Returns the first names and how many there are."""
        return f"Names({some(self)})"

    def find(self, name: str) -> int | None:
        """Returns the position of a name, or None; the names must be in ascending order."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self[middle] < name:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self[low] == name else None


def distinct(name: str, taken: Container[str]) -> str:
    """Returns a name, or if it is taken the first of ``name_2``, ``name_3``, … that is not."""
    if name not in taken:
        return name
    return next(numbered for number in count(2) if (numbered := f"{name}_{number}") not in taken)


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Returns `` The nearest is '…'.`` for a name that was not found, or an empty string if nothing is near."""
    # Among a million names the search would take a minute.
    matches = get_close_matches(name, list(islice(candidates, 20_000)), n=1)
    return f" The nearest is {matches[0]!r}." if matches else ""


def some(names: Sequence[str], limit: int = 5) -> str:
    """Returns the first names for an error message, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more

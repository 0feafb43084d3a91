"""Names of images: lists in text files, choices by a seed, and the nearest to a mistyped one."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

from datamodules.domain import Split
from datamodules.reading import SUFFIXES


def read_list(path: Path) -> dict[str, int]:
    """Reads a list of image names, one a line, with or without suffix; blank lines and # comments are skipped.

    Args:
        path: the text file.

    Returns:
        The line number of each name.

    Raises:
        ValueError: if a name is listed twice.
    """
    lines: dict[str, int] = {}
    try:
        text = path.read_text(encoding="utf-8-sig")  # with or without the mark that some editors put in front
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}); save it as UTF-8.") from error
    for number, line in enumerate(text.splitlines(), start=1):
        name = line.split("#", maxsplit=1)[0].strip()
        if not name:
            continue
        if Path(name).suffix.lower() in SUFFIXES:
            name = Path(name).with_suffix("").as_posix()
        if name in lines:
            raise ValueError(f"{path}, line {number}: {name!r} stands in line {lines[name]} already.")
        lines[name] = number
    return lines


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Returns `` The nearest is '…'.`` for a name that was not found, or an empty string if nothing is near."""
    matches = get_close_matches(name, list(candidates), n=1)
    return f" The nearest is {matches[0]!r}." if matches else ""


def some(names: Sequence[str], limit: int = 5) -> str:
    """Returns the first names for an error message, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def shuffled(names: Iterable[str], seed: int) -> list[str]:
    """Returns names in an order that depends on the seed and on each name alone, on every machine and for ever."""
    return sorted(names, key=lambda name: sha256(f"{seed}/{name}".encode()).digest())


def split_names(names: Iterable[str], seed: int) -> dict[Split, list[str]]:
    """Splits names 70 : 15 : 15 into train, val and test; fewer than three names are all train.

    Args:
        names: the names, in any order.
        seed: another seed gives another split.

    Returns:
        The sorted names of each split.
    """
    order = shuffled(names, seed)
    held_out = max(1, round(0.15 * len(order))) if len(order) >= 3 else 0
    return {
        "train": sorted(order[2 * held_out :]),
        "val": sorted(order[:held_out]),
        "test": sorted(order[held_out : 2 * held_out]),
    }

"""Which images are for training, validation and test: by lists, or by shares and a seed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from datamodules.domain import Split
from datamodules.reading import SUFFIXES

SPLITS: tuple[Split, ...] = get_args(Split)
NO_SPLIT = 255
"""The number of images that are in none of ``SPLITS``."""


def read_list(path: Path) -> dict[str, int]:
    """Reads a list of image names, one a line, with or without suffix.

    Args:
        path: the text file.

    Returns:
        The line number of each name.

    Raises:
        ValueError: if a name is listed twice, or the file is not UTF-8 text.
    """
    lines: dict[str, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        name = without_comment(line)
        if not name:
            continue
        if Path(name).suffix.lower() in SUFFIXES:
            name = Path(name).with_suffix("").as_posix()
        if name in lines:
            raise ValueError(f"{path}, line {number}: {name!r} stands in line {lines[name]} already.")
        lines[name] = number
    return lines


def read_text(path: Path) -> str:
    """Returns the text of a file in UTF-8, with or without the mark that some editors put in front.

    Raises:
        ValueError: if it is something else.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}); save it as UTF-8.") from error


def without_comment(line: str) -> str:
    """Returns a line without the white space around it and without a comment, which begins with a # and a space."""
    return re.sub(r"(^|\s)#(\s.*)?$", "", line.strip()).strip()


def shuffled(names: Iterable[str], seed: int) -> list[str]:
    """Returns names in an order that depends on the seed and on each name alone, on every machine and for ever."""
    return sorted(names, key=lambda name: sha256(f"{seed}/{name}".encode("utf-8", "surrogateescape")).digest())


def check_shares(shares: Sequence[float]) -> None:
    """Raises ValueError unless there are three shares of at least 0 that add up to 1, and some of it is trained on."""
    if len(shares) != 3 or min(shares) < 0 or shares[0] == 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"shares is {list(shares)}; give the shares of train, val and test, such as [0.7, 0.15, 0.15]: they add up "
            "to 1, and train is above 0."
        )


def split_by_shares(
    labelled: NDArray[np.bool_], groups: Sequence[str], shares: Sequence[float], seed: int
) -> NDArray[np.uint8]:
    """Splits images so that all of a group are in one split.

    The shares are of the labelled images; a split whose share is above 0 gets one group at least, where there are
    three groups or more with labels, and no group that would take it far above its share. With fewer groups all are
    for training. Images without a mask are for training, but not those of a group that is held
    out: they would show in training what is scored.

    Args:
        labelled: (N) whether each image has a mask.
        groups: the group of each; an image that is in none is one of its own.
        shares: of train, val and test, together 1.
        seed: another seed gives another split.

    Returns:
        (N) positions in ``SPLITS``, or ``NO_SPLIT``.
    """
    sizes: dict[str, int] = {}
    for group, has_mask in zip(groups, labelled.tolist(), strict=True):
        if has_mask:
            sizes[group] = sizes.get(group, 0) + 1
    order = shuffled(sizes, seed)
    total = sum(sizes.values())
    place: dict[str, int] = {}
    for split in (1, 2) if len(order) >= 3 else ():
        left = max(1, round(shares[split] * total)) if shares[split] else 0
        # One group is kept for each split that is still to come, and for training.
        spare = len(order) - 1 - (split == 1 and shares[2] > 0)
        chosen: list[str] = []
        for group in order:
            if sizes[group] <= left and len(chosen) < spare:
                chosen.append(group)
                left -= sizes[group]
        if left and not chosen:  # one large group must not take the place of many
            chosen = [min(order, key=lambda group: sizes[group])]
        place |= dict.fromkeys(chosen, split)
        order = [group for group in order if group not in place]
    return np.array(
        [
            place.get(group, 0) if has_mask else (NO_SPLIT if group in place else 0)
            for group, has_mask in zip(groups, labelled.tolist(), strict=True)
        ],
        dtype=np.uint8,
    )


def split_by_lists(names: Sequence[str], lists: Mapping[Split, Iterable[str]]) -> NDArray[np.uint8]:
    """Splits images by lists of names; those that no list names are in no split.

    Args:
        names: the images, in ascending order.
        lists: the names of each split; none is in two.

    Returns:
        (N) positions in ``SPLITS``, or ``NO_SPLIT``.
    """
    listed = {name: SPLITS.index(split) for split, members in lists.items() for name in members}
    return np.array([listed.get(name, NO_SPLIT) for name in names], dtype=np.uint8)

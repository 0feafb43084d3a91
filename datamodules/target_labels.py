"""Which target labels training may use."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from datamodules.domain import Domain
from datamodules.names import Names, nearest
from datamodules.splits import read_list, shuffled


@dataclass(frozen=True)
class Share:
    """A share of the labelled training images, in (0, 1]."""

    share: float


@dataclass(frozen=True)
class Groups:
    """A number of groups (drives, slides), all labelled images of each."""

    number: int


Labels = int | Share | Groups | Path | Literal["none", "all"]
"""A number of images, a share of them, a number of groups, a file of names, none or all."""


def parse_labels(labels: int | float | str | None) -> Labels:
    """Reads ``data.labels`` as it is spelled in YAML or on the command line.

    Args:
        labels: ``none``, ``all``, a number of images, a share such as ``5%`` or 0.05, a number of groups such as
            ``3 groups``, or the path of a list of names.

    Raises:
        ValueError: if a number is out of bounds.
    """
    if labels is None:  # YAML's null, and its ~
        return "none"
    if isinstance(labels, str):
        text = labels.strip()
        percent, groups = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*%", text), re.fullmatch(r"(-?\d+)\s+groups?", text)
        if percent is not None:
            return _share(float(percent[1]) / 100, labels)
        if groups is not None:
            if int(groups[1]) < 1:
                raise ValueError(f"data.labels is {labels}; a number of groups is at least 1.")
            return Groups(int(groups[1]))
        if re.fullmatch(r"-?\d*\.\d+", text):
            return _share(float(text), labels)
        if not text.lstrip("-").isdecimal():
            return cast(Literal["none", "all"], labels) if labels in ("none", "all") else Path(labels)
    elif isinstance(labels, float):
        return _share(labels, labels)
    number = int(labels)
    if number < 0:
        raise ValueError(f"data.labels is {number}; a number of labels is at least 0.")
    return number or "none"


def choose_labels(labels: Labels, names: Sequence[str], target: Domain, seed: int) -> list[str]:
    """Chooses the images whose labels training may use; whether they have masks is not asked of a list or of all.

    Args:
        labels: what was asked for, but not ``none``.
        names: the target's training images.
        target: the target.
        seed: decides which images a number, a share or groups take; the smaller choices lie within the larger.

    Raises:
        FileNotFoundError: if the list file does not exist.
        ValueError: if labels are asked for that do not exist.
    """
    if isinstance(labels, Path):
        return _listed(labels, names)
    if isinstance(labels, str):
        return list(names)
    lacking = set(target.without_mask(names))
    having = [name for name in names if name not in lacking]
    if isinstance(labels, Groups):
        return _of_groups(labels.number, having, target.group, seed)
    if isinstance(labels, Share):
        if not having:
            raise ValueError(f"data.labels is {labels.share:.4g}, but target/train has no image with a mask.")
        labels = max(1, round(labels.share * len(having)))
    if labels > len(having):
        raise ValueError(f"data.labels is {labels}, but target/train has only {len(having)} images with a mask.")
    return shuffled(having, seed)[:labels]


def _share(share: float, spelled: float | str) -> Share:
    if not 0 < share <= 1:
        raise ValueError(f"data.labels is {spelled}; a share is above 0 and at most 100%.")
    if share == 1 and not str(spelled).endswith("%"):
        raise ValueError(f"data.labels is {spelled}; write 1 for one image, and 100% for a share.")
    return Share(share)


def _of_groups(number: int, having: Sequence[str], group: Callable[[str], str], seed: int) -> list[str]:
    members: dict[str, list[str]] = {}
    for name in having:
        members.setdefault(group(name), []).append(name)
    if len(members) == len(having) and len(having) > 1:
        raise ValueError(
            f"data.labels is {number} groups, but every labelled image of target/train is a group of its own. Set "
            "group of the target to what images of one group have in common in their names."
        )
    if number > len(members):
        raise ValueError(
            f"data.labels is {number} groups, but the labelled images of target/train are of {len(members)}."
        )
    return [name for chosen in shuffled(members, seed)[:number] for name in members[chosen]]


def _listed(path: Path, names: Sequence[str]) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(
            f"data.labels is {str(path)!r}, which is neither none, all, a number, a share such as 5%, 3 groups nor a "
            f"file in {Path.cwd()}."
        )
    listed, known = read_list(path), Names(sorted(names))
    for name, line in listed.items():
        if known.find(name) is None:
            near = nearest(name, names)
            raise ValueError(f"{path}, line {line}: {name!r} is not an image of target/train.{near}")
    return list(listed)

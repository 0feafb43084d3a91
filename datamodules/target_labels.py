"""Which target labels training may use."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

from datamodules.domain import Domain
from datamodules.names import nearest, read_list, shuffled

Labels = int | Path | Literal["none", "all"]
"""A number of images, a file of their names, none or all."""


def parse_labels(labels: int | str | None) -> Labels:
    """Reads ``data.labels`` as it is spelled in YAML or on the command line.

    Raises:
        ValueError: if a number is negative.
    """
    if labels is None:  # YAML's null, and its ~
        return "none"
    if isinstance(labels, str) and not labels.lstrip("-").isdecimal():
        return cast(Literal["none", "all"], labels) if labels in ("none", "all") else Path(labels)
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
        seed: decides which images a number takes; the smaller choices lie within the larger.

    Raises:
        FileNotFoundError: if the list file does not exist.
        ValueError: if labels are asked for that do not exist.
    """
    if isinstance(labels, Path):
        return _listed(labels, names)
    if isinstance(labels, str):
        return list(names)
    having = [name for name in names if target.has_mask(name)]
    if labels > len(having):
        raise ValueError(f"data.labels is {labels}, but target/train has only {len(having)} images with a mask.")
    return shuffled(having, seed)[:labels]


def _listed(path: Path, names: Sequence[str]) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(
            f"data.labels is {str(path)!r}, which is neither none, all, a number nor a file in {Path.cwd()}."
        )
    listed = read_list(path)
    for name, line in listed.items():
        if name not in names:
            near = nearest(name, names)
            raise ValueError(f"{path}, line {line}: {name!r} is not an image of target/train.{near}")
    return list(listed)

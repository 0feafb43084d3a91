"""Which files a check reads."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from datamodules import CrossDomainDataModule
from datamodules.batch import DomainName, StreamName
from datamodules.domain import Split
from datamodules.names import Names
from datamodules.side import Side
from datamodules.splits import SPLITS


class Place(NamedTuple):
    """Where an image belongs.

    Attributes:
        role: source or target.
        part: which of several domains in that role, or an empty string.
        split: the split.
    """

    role: DomainName
    part: str
    split: Split

    @property
    def domain(self) -> str:
        """The domain as reports call it."""
        return f"{self.role} {self.part}" if self.part else self.role

    def __str__(self) -> str:
        """Returns the domain and the split."""
        return f"{self.domain}/{self.split}"


@dataclass(frozen=True)
class Portion:
    """The images of one split of one domain that are read.

    Attributes:
        place: where they belong.
        names: the images, in ascending order.
        total: how many images the split has.
        masked: those whose masks may be read if they exist, in ascending order; None means all.
    """

    place: Place
    names: Sequence[str]
    total: int
    masked: Names | None = None

    def may_read_mask(self, name: str) -> bool:
        """Tells whether the mask of an image may be opened."""
        return self.masked is None or self.masked.find(name) is not None


def is_trained_on(place: Place, streams: Collection[StreamName]) -> bool:
    """Tells whether images of a place are in one of the streams."""
    used = ("source",) if place.role == "source" else ("target", "labelled_target")
    return place.split == "train" and any(stream in streams for stream in used)


def choose_portions(data: CrossDomainDataModule, sample: int | None, all_masks: bool, given: Names) -> list[Portion]:
    """Chooses what is read of each split of each domain; domains whose splits cannot be made are left out.

    Args:
        data: the data of the run.
        sample: at most so many images of each, spread evenly; None takes all.
        all_masks: whether target training masks that were not given are read as well.
        given: the target training images whose masks are given for training.
    """
    portions: list[Portion] = []
    for role, side in data.sides.items():
        if not splits_can_be_made(side):
            continue
        for split in SPLITS:
            for part, names in side.by_part(side.splits[split]).items():
                hidden = role == "target" and split == "train" and not all_masks
                portions.append(
                    Portion(Place(role, part, split), _spread(names, sample), len(names), given if hidden else None)
                )
    return portions


def splits_can_be_made(side: Side) -> bool:
    """Tells whether a domain says which images its splits hold."""
    try:
        return bool(side.splits)
    except (ValueError, OSError):
        return False


def _spread(names: Names, sample: int | None) -> Names:
    if sample is None or sample >= len(names):
        return names
    return Names(names[int(index)] for index in np.linspace(0, len(names) - 1, sample).round())

"""One number of a gap beside its floor."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A distance between source and target beside the same distance within the source.

    Attributes:
        name: what is measured, such as ``Fréchet``.
        place: where, such as ``stage 3``.
        gaps: the distance of each comparison between source and target.
        floors: the distance of each comparison between two halves of the source.
        p_value: how likely the gap is by chance; None where that is not asked.
    """

    name: str
    place: str
    gaps: Sequence[float]
    floors: Sequence[float]
    p_value: float | None = None

    @property
    def gap(self) -> float:
        """The mean distance between source and target; one that is below 0 by chance is 0."""
        return max(sum(self.gaps) / len(self.gaps), 0.0)

    @property
    def floor(self) -> float:
        """The root mean square of the distances within the source, ≥ 0 also where single ones are below 0 by chance."""
        return _size(self.floors)

    @property
    def ratio(self) -> float | None:
        """How many times the floor the gap is, both as root mean squares: about 1 where the domains are alike.

        None if the floor is 0 and the gap is not.
        """
        gap, floor = _size(self.gaps), self.floor
        if floor == 0:
            return 1.0 if gap == 0 else None
        return gap / floor

    @property
    def is_high(self) -> bool:
        """Whether the gap is at least twice the floor; never where the estimates are below 0, which is no gap."""
        return self.gap > 0 and (self.ratio is None or self.ratio >= 2)


def _size(values: Sequence[float]) -> float:
    return math.sqrt(sum(value**2 for value in values) / len(values))

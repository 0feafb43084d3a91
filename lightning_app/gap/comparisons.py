"""Which images are compared with which: halves of the source with each other, and with as many of the target."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.intp]


_TRIES = 8
"""Groups of unlike sizes by chance make halves of unlike sizes: of so many halvings the most even one counts."""


class Comparison(NamedTuple):
    """Three sets of as many images each, as positions in their domain.

    Attributes:
        first: one half of the source.
        second: images of the other half, of other groups: their distance from ``first`` is the floor.
        target: target images: their distance from ``first`` is the gap.
    """

    first: Positions
    second: Positions
    target: Positions


def draw_comparisons(source: Sequence[str], target: Sequence[str], count: int, seed: int) -> list[Comparison]:
    """Draws random halves of the source and, for each, as many target images: the same number in all comparisons.

    Distances of samples shrink with their size, so gap and floor are only comparable at the same one. Two equal domains
    are drawn alike, and never is a target image compared with the source image at its own position: the gap then is
    the floor.

    Args:
        source: the group of each source image, ≥ 2 images. Images of one group stay together, unless all are of one.
        target: the group of each target image, ≥ 1.
        count: the number of comparisons.
        seed: of the draws.
    """
    found = []
    for number in range(count):
        first, second = _halves(source, np.random.default_rng([seed, number]))
        near, far = _halves(target, np.random.default_rng([seed, number]))
        found.append(Comparison(first, second, np.concatenate([far, near])))
    size = min(len(positions) for comparison in found for positions in comparison)
    return [Comparison(*(positions[:size] for positions in comparison)) for comparison in found]


def _halves(groups: Sequence[str], generator: np.random.Generator) -> tuple[Positions, Positions]:
    members: dict[str, list[int]] = {}
    for position, group in enumerate(groups):
        members.setdefault(group, []).append(position)
    together = list(members.values()) if len(members) > 1 else [[position] for position in range(len(groups))]
    first, second = max((_dealt(together, generator) for _ in range(_TRIES)), key=lambda sides: min(map(len, sides)))
    return np.array(first, np.intp), np.array(second, np.intp)


def _dealt(together: Sequence[list[int]], generator: np.random.Generator) -> tuple[list[int], list[int]]:
    sides: tuple[list[int], list[int]] = ([], [])
    for index in generator.permutation(len(together)):
        min(sides, key=len).extend(together[index])
    return sides

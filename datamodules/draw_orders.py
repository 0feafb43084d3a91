"""The orders in which the images of a stream are drawn."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from datamodules.batch import RareClassSampling
from datamodules.rare_classes import RareClasses
from datamodules.samplers import NO_CLASS, DrawOrder, stream_generator

BLOCK = 1000
"""In each so many draws the weighted parts of a stream have their shares."""


def draw_order(
    sizes: Mapping[str, int],
    *,
    seed: int,
    stream: str,
    weights: Sequence[float] | None = None,
    rare_classes: RareClassSampling | None = None,
    pixels: NDArray[np.uint32] | None = None,
) -> DrawOrder:
    """Returns the order of a stream whose images are those of one or several domains, joined end to end.

    Without weights every image is drawn as often as any other. With weights the domain is chosen first, and the order
    within it is one of its own: passes, or rare classes by the domain's own pixel counts.

    Args:
        sizes: the number of images of each domain, by its name.
        seed: the seed of the data.
        stream: the name of the stream; two streams never share a permutation.
        weights: the weight of each domain.
        rare_classes: how rare classes are drawn; by default all images are drawn in passes.
        pixels: (images, classes) pixel counts of the stream's images; needed for rare classes alone.

    Raises:
        ValueError: if weights and sizes do not fit each other, or no image has enough pixels of any class.
    """

    def order(part: slice, name: str) -> DrawOrder:
        if rare_classes is None:
            return PermutationChain(part.stop - part.start, seed, name)
        if pixels is None:
            raise ValueError(f"rare classes of the stream {stream} are drawn by pixel counts, and there are none.")
        return RareClasses(pixels[part], rare_classes, seed, name)

    ends = np.cumsum(list(sizes.values())).tolist()
    if weights is None:
        return order(slice(0, ends[-1]), stream)
    orders = [
        order(slice(end - size, end), f"{stream}/{name}") for (name, size), end in zip(sizes.items(), ends, strict=True)
    ]
    return WeightedParts(orders, weights, seed, stream)


class PermutationChain:
    """Draw k is position k in a chain of permutations, one for each pass over the images.

    Args:
        size: the number of images, at least 1.
        seed: the seed of the data.
        stream: two streams never share a permutation.
    """

    def __init__(self, size: int, seed: int, stream: str) -> None:
        self.size = size
        self.seed = seed
        self.stream = stream
        self._last: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __call__(self, draws: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns (N) indices, and no classes."""
        indices = np.empty_like(draws)
        passes = draws // self.size
        for number in np.unique(passes).tolist():
            chosen = passes == number
            indices[chosen] = self._permutation(number)[draws[chosen] % self.size]
        return indices, np.full_like(draws, NO_CLASS)

    def _permutation(self, number: int) -> NDArray[np.int64]:
        # The last one is kept: that of a million images takes longer to make than to draw from.
        if self._last[0] != number:
            permutation = stream_generator(self.seed, f"order/{self.stream}", number).permutation(self.size)
            self._last = (number, permutation)
        return self._last[1]


class WeightedParts:
    """Draws from the parts of a stream by their weights.

    In every 1000 draws each part has its share, rounded by largest remainders, in an order of their own. The k-th
    draw of a part is draw k of the part's order.

    Args:
        orders: the order of each part.
        weights: their weights: positive numbers, each at least a thousandth of their sum.
        seed: the seed of the data.
        stream: the name of the stream.

    Raises:
        ValueError: if a weight is missing, not positive, or so small that it has no draw in 1000.
    """

    def __init__(self, orders: Sequence[DrawOrder], weights: Sequence[float], seed: int, stream: str) -> None:
        self.orders = list(orders)
        self.shares = _shares(weights, len(self.orders), stream)
        self.size = sum(order.size for order in self.orders)
        self.seed = seed
        self.stream = stream

    def __call__(self, draws: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns (N) indices in the joined parts, and the classes that the parts' orders want."""
        parts, positions = np.empty_like(draws), np.empty_like(draws)
        blocks = draws // BLOCK
        for block in np.unique(blocks).tolist():
            chosen = blocks == block
            offsets = draws[chosen] % BLOCK
            of_block, inside = self._block(block)
            parts[chosen] = of_block[offsets]
            positions[chosen] = block * self.shares[of_block[offsets]] + inside[offsets]
        indices, wanted = np.empty_like(draws), np.empty_like(draws)
        start = 0
        for part, order in enumerate(self.orders):
            chosen = parts == part
            indices[chosen], wanted[chosen] = order(positions[chosen])
            indices[chosen] += start
            start += order.size
        return indices, wanted

    def _block(self, block: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the part of each draw of a block, and how many draws of that part precede it in the block."""
        sorted_parts = np.repeat(np.arange(len(self.shares)), self.shares)
        parts = stream_generator(self.seed, f"parts/{self.stream}", block).permutation(sorted_parts)
        starts = np.cumsum(self.shares) - self.shares
        inside = np.empty(BLOCK, np.int64)
        inside[np.argsort(parts, kind="stable")] = np.arange(BLOCK) - starts[sorted_parts]
        return parts, inside


def _shares(weights: Sequence[float], parts: int, stream: str) -> NDArray[np.int64]:
    if len(weights) != parts:
        raise ValueError(
            f"the stream {stream} is given {len(weights)} weights ({list(weights)}) for {parts} domains; "
            "each domain has one."
        )
    if not all(0 < weight < math.inf for weight in weights):
        raise ValueError(
            f"the weights of the stream {stream} are {list(weights)}; each is a positive number. "
            "Leave out a domain that shall not be drawn."
        )
    # Divided by the largest first: a sum of huge weights is no number. Rounded: 0.1 + 0.2 shall count as 0.3.
    relative = np.array(weights, np.float64) / max(weights)
    quotas = np.round(relative / relative.sum() * BLOCK, 9)
    shares: NDArray[np.int64] = np.floor(quotas).astype(np.int64)
    if shares.min() < 1:
        raise ValueError(
            f"the weights of the stream {stream} are {list(weights)}; the smallest is below a thousandth of their sum, "
            f"and has no draw in {BLOCK}. Raise it or leave the domain out."
        )
    most = np.argsort(shares - quotas, kind="stable")[: BLOCK - shares.sum()]
    shares[most] += 1
    return shares

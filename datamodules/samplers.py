"""Which images a rank draws: a pure function of seed, stream and draw number."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

NO_CLASS = -1
"""What a draw order returns for draws that want no class."""

_DRAWS_AT_ONCE = 1024


def stream_generator(seed: int, use: str, number: int) -> np.random.Generator:
    """Returns a generator that depends on its arguments alone.

    Args:
        seed: the seed of the data, at least 0.
        use: what the numbers are for, with the stream's name, such as ``order/target``.
        number: the pass or the draw, at least 0.

    Returns:
        A new generator.
    """
    return np.random.default_rng([seed, crc32(use.encode()), number])


class Draw(NamedTuple):
    """What a sampler yields: the image to read, and all that its augmentation depends on.

    Attributes:
        image: index of the image in its stream.
        number: the draw number, which seeds the augmentation.
        wanted: the class that the crop shall show, or None.
    """

    image: int
    number: int
    wanted: int | None = None


class DrawOrder(Protocol):
    """Which image each draw takes. A draw depends on its number alone, so any of them can be asked for at any time.

    Attributes:
        size: the number of images.
    """

    size: int

    def __call__(self, draws: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the image of each draw and the class that it wants.

        Args:
            draws: (N) draw numbers, at least 0.

        Returns:
            (N) indices below ``size``, and (N) class ids, -1 for draws that want no class.
        """


class DrawSampler(DistributedSampler[Draw]):
    """Yields the draws of one rank, from the batch that the run has come to.

    Rank r of W takes the draws r, r + W, …. An iterator starts behind the consumed batches and runs for the length of
    an epoch; after a resume inside an epoch the Trainer leaves it where that epoch ends. It is a DistributedSampler
    so that Lightning does not wrap it in one.

    Args:
        dataset: the images, with a length.
        order: which image each draw takes.
        batch_size: the images of a batch, on each rank.
        steps_per_epoch: the batches of an epoch.
        consumed_batches: tells how many batches each rank has consumed since training began.
        rank: this rank.
        world_size: the number of ranks.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        order: DrawOrder,
        *,
        batch_size: int,
        steps_per_epoch: int,
        consumed_batches: Callable[[], int],
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(dataset, num_replicas=world_size, rank=rank)
        self.order = order
        self.batch_size = batch_size
        self.num_samples = batch_size * steps_per_epoch
        self.consumed_batches = consumed_batches

    def __iter__(self) -> Iterator[Draw]:
        """Yields the draws of an epoch's length, behind the batches consumed."""
        start = self.consumed_batches() * self.batch_size
        # Part by part: an epoch of a million images must not become lists of a million numbers.
        for first in range(start, start + self.num_samples, _DRAWS_AT_ONCE):
            positions = np.arange(first, min(first + _DRAWS_AT_ONCE, start + self.num_samples))
            draws = positions * self.num_replicas + self.rank
            indices, wanted = self.order(draws)
            for index, number, class_id in zip(indices.tolist(), draws.tolist(), wanted.tolist(), strict=True):
                yield Draw(index, number, None if class_id == NO_CLASS else class_id)

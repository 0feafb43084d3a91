"""The order in which images are drawn: a pure function of seed, stream and draw number."""

from collections.abc import Callable, Iterator, Sized
from typing import Any, cast
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler


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


def draw_indices(draws: NDArray[np.int64], size: int, seed: int, stream: str) -> NDArray[np.int64]:
    """Returns which image each draw takes: draw k is position k in a chain of permutations, one for each pass.

    Args:
        draws: (N) draw numbers, at least 0.
        size: the number of images.
        seed: the seed of the data.
        stream: two streams never share a permutation.

    Returns:
        (N) indices below ``size``.
    """
    indices = np.empty_like(draws)
    passes = draws // size
    for number in np.unique(passes):
        permutation = stream_generator(seed, f"order/{stream}", int(number)).permutation(size)
        chosen = passes == number
        indices[chosen] = permutation[draws[chosen] % size]
    return indices


class DrawSampler(DistributedSampler[tuple[int, int]]):
    """Yields (index, draw number) for one rank, from the batch that the run has come to.

    Rank r of W takes the draws r, r + W, …. An iterator starts behind the consumed batches and runs for the length of
    an epoch; after a resume inside an epoch the Trainer leaves it where that epoch ends. It is a DistributedSampler
    so that Lightning does not wrap it in one.

    Args:
        dataset: the images, with a length.
        stream: the name of the stream.
        batch_size: the images of a batch, on each rank.
        steps_per_epoch: the batches of an epoch.
        consumed_batches: tells how many batches each rank has consumed since training began.
        seed: the seed of the data.
        rank: this rank.
        world_size: the number of ranks.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        *,
        stream: str,
        batch_size: int,
        steps_per_epoch: int,
        consumed_batches: Callable[[], int],
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(dataset, num_replicas=world_size, rank=rank, seed=seed)
        self.stream = stream
        self.batch_size = batch_size
        self.num_samples = batch_size * steps_per_epoch
        self.consumed_batches = consumed_batches

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yields the draws of an epoch's length, behind the batches consumed."""
        position = self.consumed_batches() * self.batch_size + np.arange(self.num_samples)
        draws = position * self.num_replicas + self.rank
        size = len(cast(Sized, self.dataset))
        yield from zip(draw_indices(draws, size, self.seed, self.stream).tolist(), draws.tolist(), strict=True)


class DrawLoader(DataLoader[Any]):
    """A loader over a DrawSampler; it tells Lightning that it can resume.

    It has no state of its own: where it goes on follows from the number of batches consumed.
    """

    def state_dict(self) -> dict[str, Any]:
        """Returns nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes nothing."""

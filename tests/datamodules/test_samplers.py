from collections.abc import Sequence

import numpy as np
import pytest
from torch.utils.data import Dataset

from datamodules.samplers import DrawSampler, draw_indices


class Images(Dataset[int]):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count


def _sampler(
    count: int = 7, *, stream: str = "target", consumed: Sequence[int] = (0,), rank: int = 0, world_size: int = 1
) -> DrawSampler:
    return DrawSampler(
        Images(count),
        stream=stream,
        batch_size=3,
        steps_per_epoch=4,
        consumed_batches=lambda: consumed[-1],
        seed=1,
        rank=rank,
        world_size=world_size,
    )


def test_every_pass_is_a_permutation_and_no_two_are_the_same() -> None:
    indices = draw_indices(np.arange(50), 10, seed=0, stream="source").reshape(5, 10)
    np.testing.assert_array_equal(np.sort(indices, axis=1), np.tile(np.arange(10), (5, 1)))
    assert len({tuple(row) for row in indices.tolist()}) == 5


def test_a_draw_depends_on_its_number_alone() -> None:
    indices = draw_indices(np.arange(50), 7, seed=3, stream="source")
    some = np.array([44, 3, 20, 3])
    np.testing.assert_array_equal(draw_indices(some, 7, seed=3, stream="source"), indices[some])


def test_streams_and_seeds_never_share_a_permutation() -> None:
    orders = [
        tuple(draw_indices(np.arange(20), 20, seed=seed, stream=stream).tolist())
        for stream in ("source", "labelled_target", "target")
        for seed in (0, 1)
    ]
    assert len(set(orders)) == 6


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_take_turns_in_the_order_of_one_process(world_size: int) -> None:
    ranks = [list(_sampler(rank=rank, world_size=world_size)) for rank in range(world_size)]
    joined = [draw for together in zip(*ranks, strict=True) for draw in together]
    assert [number for _, number in joined] == list(range(12 * world_size))
    alone = draw_indices(np.arange(12 * world_size), 7, seed=1, stream="target")
    assert [index for index, _ in joined] == alone.tolist()


def test_an_epoch_goes_on_behind_the_batches_consumed() -> None:
    consumed = [0]
    sampler = _sampler(consumed=consumed, rank=1, world_size=2)
    first = list(sampler)
    assert len(sampler) == len(first) == 12
    consumed.append(4)
    second = list(sampler)
    assert [number for _, number in first + second] == list(range(1, 48, 2))
    consumed.append(2)
    assert list(sampler) == (first + second)[6:18]

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset

from datamodules import draw_orders
from datamodules.batch import RareClassSampling
from datamodules.draw_orders import PermutationChain, draw_order
from datamodules.samplers import Draw, DrawOrder, DrawSampler, stream_generator


class Images(Dataset[int]):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count


def _sampler(
    order: DrawOrder | None = None,
    *,
    consumed: Sequence[int] = (0,),
    rank: int = 0,
    world_size: int = 1,
    steps: int = 4,
) -> DrawSampler:
    order = order or PermutationChain(7, seed=1, stream="target")
    return DrawSampler(
        Images(order.size),
        order,
        batch_size=3,
        steps_per_epoch=steps,
        consumed_batches=lambda: consumed[-1],
        rank=rank,
        world_size=world_size,
    )


def _rare(weights: list[float] | None = None) -> DrawOrder:
    pixels = np.random.default_rng(0).integers(0, 20, (9, 4)).astype(np.uint32)
    return draw_order(
        {"0": 4, "1": 5},
        seed=1,
        stream="source",
        weights=weights,
        rare_classes=RareClassSampling(0.1, 10, 0),
        pixels=pixels,
    )


ORDERS = {
    "passes": lambda: PermutationChain(7, seed=1, stream="source"),
    "weights": lambda: draw_order({"0": 2, "1": 5}, seed=1, stream="source", weights=[3, 1]),
    "rare classes": _rare,
    "rare classes of weighted domains": lambda: _rare([1, 1]),
}


@pytest.mark.parametrize("kind", ORDERS)
@settings(max_examples=10, deadline=None)
@given(world_size=st.integers(1, 5), consumed=st.integers(0, 2000))
def test_ranks_take_turns_in_the_order_of_one_process(kind: str, world_size: int, consumed: int) -> None:
    ranks = [
        list(_sampler(ORDERS[kind](), consumed=[consumed], rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    joined = [draw for together in zip(*ranks, strict=True) for draw in together]
    first = consumed * 3 * world_size
    assert [draw.number for draw in joined] == list(range(first, first + 12 * world_size))
    alone = _sampler(ORDERS[kind](), consumed=[consumed * world_size], steps=4 * world_size)
    assert joined == list(alone)


def test_an_epoch_goes_on_behind_the_batches_consumed() -> None:
    consumed = [0]
    sampler = _sampler(consumed=consumed, rank=1, world_size=2)
    first = list(sampler)
    assert len(sampler) == len(first) == 12
    consumed.append(4)
    second = list(sampler)
    assert [draw.number for draw in first + second] == list(range(1, 48, 2))
    consumed.append(2)
    assert list(sampler) == (first + second)[6:18]


def test_a_draw_wants_a_class_where_rare_classes_are_drawn_and_none_elsewhere() -> None:
    first, second = next(iter(_sampler())), next(iter(_sampler(_rare())))
    assert isinstance(first, Draw)
    assert first.wanted is None
    assert second.wanted in range(4)
    assert all(type(value) is int for value in second)


def test_an_epoch_longer_than_what_is_drawn_at_once_has_no_seam() -> None:
    numbers = [draw.number for draw in _sampler(consumed=[5], rank=2, world_size=3, steps=1000)]
    assert numbers == list(range(15 * 3 + 2, (15 + 3000) * 3 + 2, 3))


def test_a_permutation_is_made_once_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(seed: int, use: str, number: int) -> np.random.Generator:
        made.append(number)
        return stream_generator(seed, use, number)

    monkeypatch.setattr(draw_orders, "stream_generator", counted)
    assert len(list(_sampler(PermutationChain(4000, seed=1, stream="target"), steps=4000))) == 12_000
    assert made == [0, 1, 2]

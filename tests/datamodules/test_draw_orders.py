from collections.abc import Callable
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.batch import RareClassSampling
from datamodules.draw_orders import PermutationChain, WeightedParts, draw_order
from datamodules.samplers import DrawOrder

PIXELS = np.random.default_rng(0).integers(0, 20, (9, 4)).astype(np.uint32)
RARE = RareClassSampling(temperature=0.1, minimum_pixels=10)

ORDERS: dict[str, Callable[[], DrawOrder]] = {
    "passes": lambda: draw_order({"0": 4, "1": 5}, seed=3, stream="source"),
    "weights": lambda: draw_order({"0": 4, "1": 5}, seed=3, stream="source", weights=[1, 2.5]),
    "rare classes": lambda: draw_order({"0": 4, "1": 5}, seed=3, stream="source", rare_classes=RARE, pixels=PIXELS),
    "rare classes of weighted domains": lambda: draw_order(
        {"0": 4, "1": 5}, seed=3, stream="source", weights=[1, 2.5], rare_classes=RARE, pixels=PIXELS
    ),
}
FIRST = {kind: make()(np.arange(3000)) for kind, make in ORDERS.items()}


@pytest.mark.parametrize("kind", ORDERS)
@settings(max_examples=20, deadline=None)
@given(draws=st.lists(st.integers(0, 2999), max_size=30))
def test_a_draw_depends_on_its_number_alone(kind: str, draws: list[int]) -> None:
    order = ORDERS[kind]()
    order(np.array([17]))
    for found, first in zip(order(np.array(draws, np.int64)), FIRST[kind], strict=True):
        np.testing.assert_array_equal(found, first[draws])


@pytest.mark.parametrize("kind", ORDERS)
def test_every_image_that_can_be_drawn_is(kind: str) -> None:
    drawable = PIXELS.max(axis=1) >= 10 if "rare" in kind else np.ones(9, np.bool_)
    assert set(FIRST[kind][0].tolist()) == set(np.flatnonzero(drawable).tolist())


def test_every_pass_is_the_permutation_that_seed_stream_and_pass_give() -> None:
    indices, wanted = PermutationChain(10, seed=5, stream="source")(np.arange(50))
    for number, of_pass in enumerate(indices.reshape(5, 10)):
        expected = np.random.default_rng([5, crc32(b"order/source"), number]).permutation(10)
        np.testing.assert_array_equal(of_pass, expected)
    assert (wanted == -1).all()


def test_streams_seeds_and_parts_never_share_a_permutation() -> None:
    orders = [
        tuple(PermutationChain(20, seed, stream)(np.arange(20))[0].tolist())
        for stream in ("source", "source/0", "source/1", "labelled_target", "target")
        for seed in (0, 1)
    ]
    assert len(set(orders)) == 10


@settings(max_examples=25, deadline=None)
@given(weights=st.lists(st.floats(0.05, 20), min_size=1, max_size=6), block=st.integers(0, 50))
def test_parts_have_their_shares_in_every_1000_draws(weights: list[float], block: int) -> None:
    order = draw_order({str(part): 3 for part in range(len(weights))}, seed=1, stream="source", weights=weights)
    parts = order(np.arange(block * 1000, (block + 1) * 1000))[0] // 3
    exact = 1000 * np.array(weights) / sum(weights)
    found = np.bincount(parts, minlength=len(weights))
    assert found.sum() == 1000
    assert (np.abs(found - exact) < 1 + 1e-6).all()


def test_shares_are_rounded_by_the_largest_remainders() -> None:
    # 1000 times 0.2505, 0.3008 and 0.4487
    order = draw_order({"0": 1, "1": 1, "2": 1}, seed=1, stream="source", weights=[2505, 3008, 4487])
    assert np.bincount(order(np.arange(1000))[0]).tolist() == [250, 301, 449]


def test_the_parts_of_a_block_are_mixed_and_no_two_blocks_alike() -> None:
    parts = draw_order({"0": 1, "1": 1}, seed=1, stream="source", weights=[1, 1])(np.arange(3000))[0].reshape(3, 1000)
    assert len({tuple(block) for block in parts.tolist()}) == 3
    # Drawn at random, neighbours differ in half of the cases.
    assert (np.abs((parts[:, 1:] != parts[:, :-1]).mean(axis=1) - 0.5) < 0.1).all()


def test_each_part_is_drawn_in_passes_of_its_own() -> None:
    indices = FIRST["weights"][0]
    for part, (start, size) in enumerate([(0, 4), (4, 5)]):
        of_part = indices[(indices >= start) & (indices < start + size)]
        expected = PermutationChain(size, seed=3, stream=f"source/{part}")(np.arange(len(of_part)))[0]
        np.testing.assert_array_equal(of_part - start, expected)


def test_rare_classes_of_a_part_are_those_of_its_own_images() -> None:
    pixels = np.array([[90, 10], [90, 10], [10, 90], [10, 90]], np.uint32)
    sampling = RareClassSampling(temperature=0.01, minimum_pixels=5)
    indices, wanted = draw_order(
        {"0": 2, "1": 2}, seed=0, stream="source", weights=[1, 3], rare_classes=sampling, pixels=pixels
    )(np.arange(1000))
    assert (indices < 2).sum() == 250
    # softmax(0.8 / 0.01): the class with a tenth of the pixels is all that is wanted.
    np.testing.assert_array_equal(wanted, np.where(indices < 2, 1, 0))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], r"given 1 weights \(\[1.0\]\) for 2 domains"),
        ([1.0, 0.0], r"are \[1.0, 0.0\]; each is a positive number"),
        ([1.0, float("nan")], "each is a positive number"),
        ([1.0, float("inf")], "each is a positive number"),
        ([1.0, 0.0009], "the smallest is below a thousandth of their sum"),
    ],
)
def test_weights_that_cannot_be_kept_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_order({"0": 1, "1": 1}, seed=0, stream="source", weights=weights)


def test_the_smallest_weight_has_one_draw_in_1000() -> None:
    order = WeightedParts(
        [PermutationChain(1, 0, "source/0"), PermutationChain(1, 0, "source/1")], [999, 1], 0, "source"
    )
    assert np.bincount(order(np.arange(5000))[0]).tolist() == [4995, 5]


def test_huge_weights_are_weights() -> None:
    order = draw_order({"0": 1, "1": 1}, seed=0, stream="source", weights=[1.7e308, 1.7e308])
    assert np.bincount(order(np.arange(1000))[0]).tolist() == [500, 500]


def test_rare_classes_need_pixel_counts() -> None:
    with pytest.raises(ValueError, match="drawn by pixel counts, and there are none"):
        draw_order({"0": 4}, seed=0, stream="source", rare_classes=RARE)

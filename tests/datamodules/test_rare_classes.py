import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.batch import RareClassSampling
from datamodules.rare_classes import RareClasses, class_frequencies, class_probabilities, left_out_classes

PIXELS = np.array(
    # road, sky, train (too small), bike, ship (never)
    [[700, 250, 0, 50, 0], [900, 100, 0, 0, 0], [300, 600, 20, 80, 0], [500, 500, 0, 0, 0]],
    np.uint32,
)
SAMPLING = RareClassSampling(temperature=0.5, minimum_pixels=50)


def _by_hand(shares: list[float], temperature: float) -> list[float]:
    exponentials = [math.exp((1 - share) / temperature) for share in shares]
    return [exponential / sum(exponentials) for exponential in exponentials]


def test_frequencies_are_shares_of_all_labelled_pixels() -> None:
    assert class_frequencies(PIXELS).tolist() == pytest.approx([0.6, 0.3625, 0.005, 0.0325, 0])
    assert class_frequencies(np.zeros((2, 3), np.uint32)).tolist() == [0, 0, 0]


def test_pixels_of_many_photographs_do_not_overflow() -> None:
    pixels = np.full((3, 2), 2**32 - 1, np.uint32)
    assert class_frequencies(pixels).tolist() == [0.5, 0.5]


def test_probabilities_are_the_softmax_over_the_classes_that_can_be_drawn() -> None:
    road, sky, bike = _by_hand([0.6, 0.3625, 0.0325], 0.5)
    assert class_probabilities(PIXELS, SAMPLING).tolist() == pytest.approx([road, sky, 0, bike, 0])


@given(
    temperature=st.floats(min_value=1e-300, max_value=1e300),
    counts=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8).filter(any),
)
def test_any_temperature_gives_probabilities(temperature: float, counts: list[int]) -> None:
    pixels = np.array([counts], np.uint32)
    probabilities = class_probabilities(pixels, RareClassSampling(temperature, minimum_pixels=1))
    assert probabilities.sum() == pytest.approx(1)
    assert ((probabilities > 0) <= (pixels[0] > 0)).all()
    # The rarer, the more often.
    order = np.argsort(counts, kind="stable")
    drawn = probabilities[order][np.array(counts)[order] > 0]
    assert (np.diff(drawn) <= 1e-12).all()


def test_draws_are_as_frequent_as_the_formula_says() -> None:
    order = RareClasses(PIXELS, SAMPLING, seed=0, stream="source")
    count = 4000
    images, wanted = order(np.arange(count))
    road, sky, bike = _by_hand([0.6, 0.3625, 0.0325], 0.5)
    # A class, then any image that has 50 pixels of it.
    expected = {(image, 0): road / 4 for image in range(4)} | {(image, 1): sky / 4 for image in range(4)}
    expected |= {(0, 3): bike / 2, (2, 3): bike / 2}
    found = dict.fromkeys(expected, 0)
    for cell in zip(images.tolist(), wanted.tolist(), strict=True):
        found[cell] += 1
    chi_square = sum((found[cell] - count * share) ** 2 / (count * share) for cell, share in expected.items())
    assert chi_square < 21.7  # 99 % of random samples of 10 cells


def test_streams_and_seeds_draw_differently() -> None:
    drawn = {
        tuple(RareClasses(PIXELS, SAMPLING, seed, stream)(np.arange(30))[0].tolist())
        for seed in (0, 1)
        for stream in ("source", "labelled_target")
    }
    assert len(drawn) == 4


def test_classes_left_out_are_told_with_the_reason() -> None:
    assert left_out_classes(PIXELS, SAMPLING, ["road", "sky", "train", "bike", "ship"]) == [
        "train (no image has 50 pixels of it; the most is 20)",
        "ship (no pixel)",
    ]


@pytest.mark.parametrize("pixels", [PIXELS, np.zeros((0, 5), np.uint32)])
def test_images_too_small_for_the_minimum_are_refused(pixels: np.ndarray) -> None:
    most = 900 if len(pixels) else 0
    with pytest.raises(ValueError, match=rf"minimum_pixels is 3000, but no image .* the most is {most}\. Lower it"):
        RareClasses(pixels, RareClassSampling(), seed=0, stream="source")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0; it is above 0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"minimum_pixels": 0}, "minimum_pixels is 0; it is at least 1"),
        ({"minimum_crop_pixels": -1}, "minimum_crop_pixels is -1; it is at least 0"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RareClassSampling(**settings)

"""What a difference is worth, against formulas written out here."""

import numpy as np
import pytest
from scipy import stats

from lightning_app.compare.difference import Difference
from lightning_app.compare.image_counts import ImageCounts
from lightning_app.compare.statistics import (
    gap_closed,
    interval_over_images,
    interval_over_seeds,
    mean_iou,
    resampled_mean_ious,
)


def counts(right: float, seed: int, images: int = 60) -> ImageCounts:
    """Images of which about so large a share of the union is right; the images are the same for every seed."""
    common, chance = np.random.default_rng(0), np.random.default_rng(seed)
    union = common.integers(500, 3000, (images, 4)).astype(float)
    share = np.clip(right + common.normal(0, 0.15, union.shape) + chance.normal(0, 0.05, union.shape), 0, 1)
    names = [("", f"{index}") for index in range(images)]
    return ImageCounts(names, list("abcd"), np.round(union * share), union)


def compared(method: ImageCounts, baseline: ImageCounts) -> Difference:
    samples = resampled_mean_ious([method, baseline])
    values = [mean_iou(one.intersection.sum(0), one.union.sum(0)) for one in (method, baseline)]
    return Difference(float(values[0] - values[1]), interval_over_images(samples[:1], samples[1:]), None)


def test_miou_leaves_out_what_does_not_occur() -> None:
    intersection, union = np.array([[2.0, 0, 0], [0, 0, 0]]), np.array([[4.0, 0, 5], [0, 0, 0]])
    assert mean_iou(intersection, union)[0] == 0.25
    assert np.isnan(mean_iou(intersection, union)[1])


def test_the_interval_is_that_of_images_drawn_together() -> None:
    """Images are drawn one by one here, and their counts added up."""
    method, baseline = counts(0.62, 1), counts(0.6, 2)
    chance, images = np.random.default_rng(5), 60
    differences = []
    for _ in range(2000):
        drawn = chance.integers(0, images, images)
        both = []
        for one in (method, baseline):
            both.append(np.mean(one.intersection[drawn].sum(0) / one.union[drawn].sum(0)))
        differences.append(both[0] - both[1])
    found = compared(method, baseline).over_images
    assert found is not None
    width = np.std(differences)
    drawn_scores = resampled_mean_ious([method])
    assert np.mean(drawn_scores) == pytest.approx(mean_iou(method.intersection.sum(0), method.union.sum(0)), abs=0.002)
    assert abs(found.low - np.quantile(differences, 0.025)) < 0.25 * width
    assert abs(found.high - np.quantile(differences, 0.975)) < 0.25 * width


def test_an_effect_is_found_where_there_is_one_and_none_where_there_is_none() -> None:
    effects = [compared(counts(0.65, seed), counts(0.6, seed + 100)) for seed in range(20)]
    assert all(one.over_images is not None for one in effects)
    covered = [one.over_images.low <= 0.05 <= one.over_images.high for one in effects if one.over_images]
    assert sum(covered) >= 15  # 19 in the mean
    assert all(one.verdict == "better" for one in effects)
    nothing = [compared(counts(0.6, seed), counts(0.6, seed + 100)).verdict for seed in range(20)]
    assert nothing.count("not distinguishable") >= 15
    assert compared(counts(0.5, 1), counts(0.6, 1)).verdict == "worse"
    assert compared(counts(0.6, 1), counts(0.6, 1)).verdict == "not distinguishable"


def test_seeds_are_compared_by_welchs_interval() -> None:
    method, baseline = [0.51, 0.53, 0.56], [0.44, 0.5, 0.45, 0.47]
    found = interval_over_seeds(method, baseline)
    expected = stats.ttest_ind(method, baseline, equal_var=False).confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert interval_over_seeds([0.5], baseline) is None
    equal = interval_over_seeds([0.5, 0.5], [0.5, 0.5])
    assert equal is not None and equal.holds_zero


def test_seeds_that_spread_take_the_verdict_back() -> None:
    sure = compared(counts(0.65, 1), counts(0.6, 2))
    assert sure.verdict == "better" and "one seed" in sure.doubt
    spread = Difference(sure.value, sure.over_images, interval_over_seeds([0.5, 0.7], [0.45, 0.65]))
    assert spread.verdict == "not distinguishable" and not spread.doubt
    assert Difference(0.1, None, None).verdict == "unknown"


def test_the_gap_is_closed_by_means() -> None:
    assert gap_closed([0.5], [0.2], [0.8]) == "0.50"
    assert gap_closed([0.4, 0.6], [0.1, 0.3], [0.9, 0.7]) == "0.50"
    assert gap_closed([0.1], [0.2], [0.8]) == "-0.17"
    # 0.2 apart; the seeds of the lower bound spread by 0.14.
    assert gap_closed([0.4], [0.3, 0.5], [0.6, 0.6]) == "no gap"
    assert gap_closed([0.4], [], [0.6]) == "–"

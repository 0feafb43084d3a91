"""What a difference of two methods is worth: spreads over seeds, and intervals over images and over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from lightning_app.compare.image_counts import ImageCounts

RESAMPLES = 2000
LEVEL = 0.95
"""Share of the intervals that cover the truth, if the assumptions hold."""


@dataclass(frozen=True)
class Interval:
    """An interval of confidence of a difference of mIoU, in [−1, 1]."""

    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Whether the difference may as well be none."""
        return self.low <= 0 <= self.high


def deviation(values: Sequence[float]) -> float | None:
    """Returns the sample standard deviation, or None of fewer than two values."""
    return stdev(values) if len(values) > 1 else None


def gap_closed(method: Sequence[float], lower: Sequence[float], upper: Sequence[float]) -> str:
    """Returns (method − lower) / (upper − lower) of the means, or why there is none.

    Args:
        method: target mIoU of the seeds of a method.
        lower: those of training on the source alone.
        upper: those of fine-tuning on all target labels.
    """
    if not method or not lower or not upper:
        return "–"
    gap = mean(upper) - mean(lower)
    spread = max((deviation(seeds) or 0.0) for seeds in (lower, upper))
    return "no gap" if gap <= 2 * spread else f"{(mean(method) - mean(lower)) / gap:z.2f}"


def mean_iou(intersection: NDArray[np.float64], union: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the mean over the classes that occur in masks or predictions.

    Args:
        intersection: (…, classes) pixel counts.
        union: (…, classes) pixel counts.

    Returns:
        (…) in [0, 1]; NaN where no class occurs.
    """
    present = union > 0
    iou = np.divide(intersection, union, out=np.zeros_like(intersection, dtype=float), where=present)
    with np.errstate(invalid="ignore"):
        scores: NDArray[np.float64] = iou.sum(-1) / present.sum(-1)
    return scores


def resampled_mean_ious(runs: Sequence[ImageCounts], resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """Draws as many images as there are, with replacement, and scores every run on the same draw.

    Args:
        runs: pixel counts of the same images in the same order.
        resamples: number of draws.

    Returns:
        (runs, resamples): mIoU in [0, 1], from the counts summed over the drawn images.
    """
    images = len(runs[0].images)
    generator = np.random.default_rng(0)  # the same page from the same runs
    scores = np.empty((len(runs), resamples))
    for start in range(0, resamples, 100):  # the draws of many images at once would fill the memory
        stop = min(start + 100, resamples)
        times_drawn = generator.multinomial(images, np.full(images, 1 / images), size=stop - start).astype(float)
        for index, run in enumerate(runs):
            scores[index, start:stop] = mean_iou(times_drawn @ run.intersection, times_drawn @ run.union)
    return scores


def interval_over_images(method: NDArray[np.float64], baseline: NDArray[np.float64]) -> Interval:
    """Returns the percentile interval of the difference, with the seeds as they are.

    Args:
        method: (seeds, resamples) of :func:`resampled_mean_ious`.
        baseline: (seeds, resamples) on the same draws.
    """
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(method.mean(0) - baseline.mean(0), [tail, 100 - tail])
    return Interval(float(low), float(high))


def interval_over_seeds(method: Sequence[float], baseline: Sequence[float]) -> Interval | None:
    """Returns Welch's interval of the difference of the means, or None where either has one seed only."""
    if len(method) < 2 or len(baseline) < 2:
        return None
    variances = [(deviation(seeds) or 0.0) ** 2 / len(seeds) for seeds in (method, baseline)]
    difference, variance = mean(method) - mean(baseline), sum(variances)
    if variance == 0:
        return Interval(difference, difference)
    freedom = variance**2 / sum(
        one**2 / (len(seeds) - 1) for one, seeds in zip(variances, (method, baseline), strict=True)
    )
    half = float(stdtrit(freedom, 0.5 + LEVEL / 2)) * variance**0.5
    return Interval(difference - half, difference + half)

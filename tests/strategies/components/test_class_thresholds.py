"""Thresholds against sorting, and labels against loops."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from strategies.components.class_thresholds import (
    BINS,
    balanced_labels,
    class_thresholds,
    confidence_histogram,
    soft_labels,
)

BIN = 24 / 4096
"""Width of a bin, in log-odds."""


def predictions(scale: float, seed: int = 0) -> Tensor:
    """Probabilities of five classes, of which the last is never the likeliest; the larger the scale, the surer."""
    logits = scale * torch.randn(2, 5, 60, 70, generator=torch.Generator().manual_seed(seed))
    logits[:, 4] = -30
    logits[:, 3] -= 2 * scale
    return logits.softmax(dim=1)


@pytest.mark.parametrize("scale", [0.5, 3.0, 12.0])  # at 12, half of the confidences are above 0.9999
@pytest.mark.parametrize("portion", [0.2, 0.35, 0.5, 1.0])
def test_the_threshold_is_the_confidence_at_the_rank_of_the_portion(scale: float, portion: float) -> None:
    probabilities = predictions(scale)
    found = class_thresholds(confidence_histogram(probabilities), portion)
    values, classes = probabilities.numpy().max(axis=1), probabilities.numpy().argmax(axis=1)
    for index in range(4):
        of_class = np.sort(values[classes == index])[::-1]
        wanted = of_class[math.floor(portion * len(of_class)) - 1]
        # Below it by less than a bin, in which few other pixels lie.
        assert found[index] <= wanted
        if wanted < 1:
            below = math.log(wanted / (1 - wanted)) - math.log(found[index] / (1 - found[index]))
            assert below < BIN + 2**-24 / (1 - wanted)  # float32 is coarse near 1
        ties = (of_class == wanted).mean()
        assert portion - 0.01 < (of_class >= found[index].item()).mean() < portion + ties + 0.01


def test_classes_without_a_pixel_of_that_rank_have_the_threshold_1() -> None:
    probabilities = torch.full((1, 3, 1, 4), 0.1)
    probabilities[0, 0] = 0.8  # four pixels of class 0
    thresholds = class_thresholds(confidence_histogram(probabilities), 0.24)
    assert thresholds.tolist() == [1, 1, 1]
    thresholds = class_thresholds(confidence_histogram(probabilities), 0.25)
    assert thresholds.tolist() == [pytest.approx(0.8, abs=2e-3), 1, 1]
    assert (balanced_labels(probabilities, thresholds) == 0).all()


def test_confidences_that_float32_rounds_to_1_have_the_threshold_1() -> None:
    probabilities = torch.zeros(1, 2, 1, 10)
    probabilities[0, 0] = 1 - 2**-24  # the largest below 1
    probabilities[0, 0, 0, :3] = 1
    histogram = confidence_histogram(probabilities)
    assert class_thresholds(histogram, 0.3)[0] == 1
    assert class_thresholds(histogram, 0.4)[0] < 1


def test_the_least_confident_pixels_of_many_classes_count_too() -> None:
    probabilities = torch.full((1, 255, 1, 8), 1 / 255)
    probabilities[0, 7] += 1e-6
    histogram = confidence_histogram(probabilities)
    assert histogram[7].sum() == 8 == histogram.sum()
    assert class_thresholds(histogram, 1.0)[7] == pytest.approx(1 / 255, rel=0.01)


def test_histograms_add_up() -> None:
    parts = [predictions(3.0, seed) for seed in (1, 2)]
    together = confidence_histogram(torch.cat(parts))
    assert together.shape == (5, BINS) and together.dtype == torch.int64
    assert torch.equal(together, sum(confidence_histogram(part) for part in parts))
    predicted = torch.cat(parts).argmax(dim=1)
    assert together.sum(dim=1).tolist() == [(predicted == index).sum().item() for index in range(5)]


THRESHOLDS = torch.tensor([0.9, 0.5, 0.3, 1.0])


def pixels() -> Tensor:
    return (1.5 * torch.randn(2, 4, 8, 9, generator=torch.Generator().manual_seed(3))).softmax(dim=1)


def test_a_label_is_the_class_furthest_above_its_threshold() -> None:
    probabilities = pixels()
    found = balanced_labels(probabilities, THRESHOLDS)
    labels = set()
    for b, h, w in np.ndindex(2, 8, 9):
        ratios = [(probabilities[b, c, h, w] / THRESHOLDS[c]).item() for c in range(4)]
        wanted = ratios.index(max(ratios)) if max(ratios) >= 1 else 255
        assert found[b, h, w] == wanted
        labels.add(wanted)
    assert labels == {0, 1, 2, 255}
    # Not always the likeliest class: a rare one needs less.
    assert ((found != probabilities.argmax(dim=1)) & (found != 255)).any()


def test_a_pixel_at_its_threshold_is_labelled() -> None:
    probabilities = torch.tensor([0.5, 0.2, 0.2, 0.1]).view(1, 4, 1, 1)
    assert balanced_labels(probabilities, torch.tensor([0.5, 0.5, 0.5, 0.5])).item() == 0
    assert balanced_labels(probabilities, torch.tensor([0.501, 0.5, 0.5, 0.5])).item() == 255


@pytest.mark.parametrize("strength", [0.1, 0.25])
def test_soft_labels_minimise_the_regularised_loss_and_are_kept_where_it_pays(strength: float) -> None:
    probabilities = pixels()
    labels, soft = soft_labels(probabilities, THRESHOLDS, strength)
    kept = 0
    for b, h, w in np.ndindex(2, 8, 9):
        p, k = probabilities[b, :, h, w].double().numpy(), THRESHOLDS.double().numpy()
        wanted = (p / k) ** (1 / strength)
        wanted /= wanted.sum()
        np.testing.assert_allclose(soft[b, :, h, w], wanted, rtol=1e-4, atol=1e-7)
        loss = (-wanted * np.log(p) + strength * wanted * np.log(wanted + 1e-32)).sum()
        without = (-wanted * np.log(k)).sum()
        assert labels[b, h, w] == (wanted.argmax() if loss < without else 255)
        kept += loss < without
    assert 0 < kept < 144


@pytest.mark.parametrize("threshold", [0.9, 1.0])
def test_a_network_that_is_sure_beyond_float32_is_believed(threshold: float) -> None:
    probabilities = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    labels, soft = soft_labels(probabilities, torch.tensor([threshold, 0.1]), 0.25)
    assert labels.item() == 0 == balanced_labels(probabilities, torch.tensor([threshold, 0.1])).item()
    assert soft.flatten().tolist() == [1, 0]

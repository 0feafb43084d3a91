"""Expected calibration error against its formula, pixel by pixel."""

import numpy as np
import pytest
import torch

from lightning_app.calibration import Calibration, expected_calibration_error
from lightning_app.metrics import Scores

generator = torch.Generator().manual_seed(0)


def images(height: int, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Confidences, predictions and masks of two images, a part of which is ignored."""
    probabilities = (3 * torch.randn(2, classes, height, 9, generator=generator)).softmax(dim=1)
    confidence, prediction = probabilities.max(dim=1)
    mask = torch.where(torch.rand(2, height, 9, generator=generator) < 0.6, prediction, 0)
    return (
        confidence,
        prediction.to(torch.uint8),
        mask.masked_fill(torch.rand(mask.shape, generator=generator) < 0.2, 255),
    )


def test_the_error_is_that_of_the_formula_over_all_images() -> None:
    shown = [images(5), images(600), images(1)]  # one higher than what is counted at a time
    calibration = Calibration()
    for confidence, prediction, mask in shown:
        calibration.update(confidence, prediction, mask)
    confidence, prediction, mask = (np.concatenate([one[part].ravel() for one in shown]) for part in range(3))
    confidence, right = confidence[mask != 255].astype(float), (prediction == mask)[mask != 255]
    error, edges = 0.0, np.arange(16) / 15
    found = calibration.compute().numpy()
    for low, high, row in zip(edges[:-1], edges[1:], found, strict=True):
        inside = (confidence > low) & (confidence <= high)
        np.testing.assert_allclose(row, [inside.sum(), confidence[inside].sum(), right[inside].sum()], rtol=1e-6)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert error > 0.01 and expected_calibration_error(found.tolist()) == pytest.approx(error, rel=1e-6)


def test_confidence_one_is_in_the_last_bin_and_the_right_are_as_sure_as_they_should_be() -> None:
    calibration = Calibration()
    calibration.update(torch.ones(1, 2, 2), torch.ones(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.int64))
    found = calibration.compute().tolist()
    assert found[14] == [4, 4, 4] and not np.any(found[:14])
    assert expected_calibration_error(found) == 0


def test_ignored_images_count_nothing_and_have_no_error() -> None:
    calibration = Calibration()
    calibration.update(torch.full((1, 2, 2), 0.7), torch.zeros(1, 2, 2), torch.full((1, 2, 2), 255))
    assert not calibration.compute().any()
    assert Scores.from_confusion(torch.eye(2), ["a", "b"]).ece is None

"""Scores that need no labels, against their formulas in numpy and scipy."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from torch import Tensor

from lightning_app.inference import Windows, predict_mask
from lightning_app.probability_sums import ProbabilitySums
from lightning_app.unsupervised_scores import UnsupervisedScores, soft_neighborhood_density

Array = NDArray[np.float64]
chance = np.random.default_rng(0)


def scored(images: Sequence[Array], source_pixels: list[int] | None = None, rows: int = 32) -> dict[str, float]:
    """The scores of probabilities (classes, H, W), told a few rows at a time."""
    scores = UnsupervisedScores(len(images[0]))
    for image in images:
        probabilities = torch.from_numpy(image).float()[None]
        sums = ProbabilitySums(*image.shape[1:])
        for part in probabilities.split(rows, dim=2):
            sums(part)
        scores.update(sums, probabilities.argmax(dim=1))
    return scores.compute(source_pixels)


def soft(height: int, width: int, sharpness: float = 2.0, classes: int = 5) -> Array:
    """Probabilities that change over the image."""
    logits = sharpness * chance.normal(size=(classes, height, width))
    return np.asarray(np.exp(logits) / np.exp(logits).sum(axis=0))


def density(points: Array) -> float:
    """Soft neighbourhood density of (N, classes), pair by pair."""
    found = []
    for i, point in enumerate(points):
        others = [other for j, other in enumerate(points) if j != i]
        cosines = np.array([point @ other / np.linalg.norm(point) / np.linalg.norm(other) for other in others])
        weights = np.exp(cosines / 0.05)
        found.append(entropy(weights / weights.sum()))
    return float(np.mean(found))


def sampled(image: Array) -> Array:
    """The 256 pixels of an image that are compared."""
    _, height, width = image.shape
    columns = np.floor(np.arange(256) * (np.sqrt(5) - 1) / 2 % 1 * width).astype(int)
    return image[:, ((np.arange(256) + 0.5) * height / 256).astype(int), columns].T


def test_scores_are_those_of_the_formulas() -> None:
    images = [soft(40, 30), soft(7, 90, sharpness=5), soft(300, 11, sharpness=0.5)]
    source_pixels = [100, 0, 30, 7, 500]
    found = scored(images, source_pixels)
    # Probabilities are summed over a quarter of the pixels, predictions over all.
    pixels = np.concatenate([image[:, ::2, ::2].reshape(5, -1) for image in images], axis=1)
    predicted = sum(np.bincount(image.argmax(axis=0).ravel(), minlength=5) for image in images)
    mean_entropy = entropy(pixels, axis=0).mean()
    assert found == pytest.approx(
        {
            "entropy": mean_entropy / np.log(5),
            "mutual_information": (entropy(pixels.mean(axis=1)) - mean_entropy) / np.log(5),
            "snd": np.mean([density(sampled(image)) for image in images]),
            "class_prior": jensenshannon(predicted, source_pixels, base=2) ** 2,
        },
        rel=1e-4,
        abs=1e-6,
    )
    assert "class_prior" not in scored(images)
    assert scored(images, rows=3) == pytest.approx(scored(images), abs=1e-5), "however the rows come"


def test_images_of_a_batch_are_told_one_after_another() -> None:
    images = [soft(33, 40), soft(33, 40, sharpness=5)]
    probabilities, scores, sums = (
        torch.from_numpy(np.stack(images)).float(),
        UnsupervisedScores(5),
        ProbabilitySums(33, 40),
    )
    for image in probabilities:
        for part in image[None].split(32, dim=2):
            sums(part)
    scores.update(sums, probabilities.argmax(dim=1))
    assert scores.compute() == scored(images)


def test_the_sample_spreads_over_the_image() -> None:
    places = np.stack(np.meshgrid(np.arange(64), np.arange(96), indexing="ij")).astype(float)
    points = sampled(places)
    assert len(np.unique(points, axis=0)) == 256
    counts, _, _ = np.histogram2d(*points.T, bins=[8, 8], range=[[0, 64], [0, 96]])
    assert counts.min() >= 2 and counts.max() <= 6  # 4 on average


def test_density_of_points_of_three_directions() -> None:
    points = np.eye(3)[[0, 0, 0, 1, 1, 2]] + 0.01
    found = soft_neighborhood_density(torch.from_numpy(np.stack([points, points[::-1]])).float())
    np.testing.assert_allclose(found.numpy(), density(points), rtol=1e-4)
    # Two neighbours, one neighbour, none that is nearer than others.
    assert found[0].item() == pytest.approx((3 * np.log(2) + 2 * 0 + np.log(5)) / 6, abs=1e-3)
    # Half precision around it changes nothing.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(soft_neighborhood_density(torch.from_numpy(points[None]).float()), found[:1])


def one_hot(ids: NDArray[np.int64], classes: int = 4) -> Array:
    return np.asarray(np.moveaxis(np.eye(classes)[ids], -1, 0))


def test_sure_and_varied_predictions_inform_and_collapsed_ones_only_look_sure() -> None:
    varied = one_hot(np.arange(64 * 64).reshape(64, 64) // 1024)
    collapsed, undecided = one_hot(np.zeros((64, 64), dtype=np.int64)), np.full((4, 64, 64), 0.25)
    even = [10, 10, 10, 10]
    for image, wanted in (
        (varied, {"entropy": 0, "mutual_information": 1, "class_prior": 0}),
        (collapsed, {"entropy": 0, "mutual_information": 0}),
        (undecided, {"entropy": 1, "mutual_information": 0}),
    ):
        found = scored([image], even)
        assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-5)
    # Each of 64 sampled pixels has the 63 others of its class for neighbours; of one class all are neighbours.
    assert scored([varied])["snd"] == pytest.approx(np.log(63), abs=1e-3)
    assert scored([collapsed])["snd"] == pytest.approx(np.log(255), abs=1e-3)


def test_two_halves_add_up_to_the_same_numbers() -> None:
    """Sums are whole numbers: two ranks give what one process gives, to the last bit."""
    images = [soft(33, 40, sharpness) for sharpness in (0.5, 1, 2, 3, 5)]
    halves = [UnsupervisedScores(5), UnsupervisedScores(5)]
    whole = UnsupervisedScores(5)
    for index, image in enumerate(images):
        probabilities = torch.from_numpy(image).float()[None]
        for scores in (halves[index % 2], whole):
            sums = ProbabilitySums(33, 40)
            for part in probabilities.split(32, dim=2):
                sums(part)
            scores.update(sums, probabilities.argmax(dim=1), probabilities.argmax(dim=1).flip(2))
    joined = UnsupervisedScores(5)
    for name in joined._defaults:
        setattr(joined, name, sum(getattr(half, name) for half in reversed(halves)))
    joined._update_count = 1
    assert joined.compute([1, 2, 3, 4, 5]) == whole.compute([1, 2, 3, 4, 5])
    assert 0 < whole.compute()["augmentation_consistency"] < 1


def test_windows_tell_each_row_once() -> None:
    logits = torch.randn(3, 70, 50, generator=torch.Generator().manual_seed(0))

    def network(batch: Tensor) -> Tensor:
        return 5 * (batch - batch.mean(dim=1, keepdim=True))

    image = logits.sigmoid()
    found = []
    for windows in (None, Windows(32, overlap=0.5)):
        sums = ProbabilitySums(70, 50)
        prediction = torch.from_numpy(predict_mask(network, image, windows, "cpu", watch=sums))[None]
        scores = UnsupervisedScores(3)
        scores.update(sums, prediction)
        found.append(scores.compute())
    assert found[1] == pytest.approx(found[0], abs=1e-4)

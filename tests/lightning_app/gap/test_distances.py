"""The distances of a gap against formulas of scipy, scikit-learn and numpy."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from scipy.stats import kstest, norm, wasserstein_distance
from sklearn.linear_model import Ridge
from torch import Tensor

from lightning_app.gap.distances import (
    RIDGE,
    directions,
    frechet,
    normal_divergence,
    proxy_a_distance,
    wasserstein,
)
from lightning_app.gap.kernel import Kernel, bandwidth, gaussian, image_kernel
from lightning_app.gap.label_shift import corrected_histogram
from lightning_app.gap.measure import Measure


def drawn(*shape: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    return shift + scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_frechet_is_that_of_scipys_square_root() -> None:
    mixing = drawn(6, 6, seed=3)
    first, second = drawn(50, 6, seed=0) @ mixing, drawn(40, 6, seed=1, shift=2.0)
    covariances = [np.cov(sample.double().numpy(), rowvar=False) for sample in (first, second)]
    means = [sample.double().numpy().mean(axis=0) for sample in (first, second)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    wanted = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet(first, second) == pytest.approx(wanted, rel=1e-6)
    assert frechet(first, first) == pytest.approx(0, abs=1e-6)


def test_frechet_of_fewer_pixels_than_channels_is_finite() -> None:
    assert 0 < frechet(drawn(5, 20, seed=0), drawn(5, 20, seed=1)) < 100


def test_sliced_wasserstein_is_scipys_along_the_same_directions() -> None:
    axes = directions(5, 7, seed=0)
    assert axes.norm(dim=0).numpy() == pytest.approx(np.ones(7), rel=1e-6)
    first, second = drawn(30, 5, seed=1) @ axes, drawn(30, 5, seed=2, shift=0.5) @ axes
    wanted = [wasserstein_distance(first[:, axis].numpy(), second[:, axis].numpy()) for axis in range(7)]
    assert wasserstein(first, second).numpy() == pytest.approx(wanted, rel=1e-5)


def test_proxy_a_distance_is_0_on_equal_and_2_on_separable_samples() -> None:
    sample = drawn(12, 4, 3, seed=0)
    assert proxy_a_distance(sample, sample) == 0
    assert proxy_a_distance(sample, sample + 20) == 2


def test_proxy_a_distance_is_that_of_scikit_learns_ridge_over_folds_of_images() -> None:
    first, second = drawn(10, 6, 4, seed=0), drawn(10, 6, 4, seed=1, shift=0.6)
    pixels = torch.cat([first, second]).flatten(0, 1).double().numpy()
    pixels = (pixels - pixels.mean(axis=0)) / pixels.std(axis=0)
    signs, image = np.repeat([1.0, -1.0], 60), np.tile(np.repeat(np.arange(10), 6), 2)
    wrong = 0
    for fold in range(5):
        held_out = image % 5 == fold
        ridge = Ridge(alpha=RIDGE * (~held_out).sum()).fit(pixels[~held_out], signs[~held_out])
        wrong += int((ridge.predict(pixels[held_out]) * signs[held_out] < 0).sum())
    assert 0 < wrong < 60
    assert proxy_a_distance(first, second) == pytest.approx(2 * (1 - 2 * wrong / 120), abs=1e-9)


def test_proxy_a_distance_learns_no_image_by_heart() -> None:
    """Pixels of an image are alike: who held out pixels and not images would tell the domains apart."""
    first, second = (drawn(8, 1, 100, seed=seed).expand(8, 10, 100).contiguous() for seed in (0, 1))
    assert proxy_a_distance(first, second) < 1


def mean_kernel(first: NDArray[np.float64], second: NDArray[np.float64], width: float) -> float:
    return float(np.exp(-(cdist(first, second) ** 2) / (2 * width**2)).mean())


def test_mmd_is_the_mean_over_pairs_of_images() -> None:
    features, width = torch.cat([drawn(3, 4, 2, seed=0), drawn(4, 4, 2, seed=1, shift=1.0)]), 1.5
    images = features.double().numpy()
    pairs = [[mean_kernel(images[a], images[b], width) for b in range(7)] for a in range(7)]
    within = [np.mean([pairs[a][b] for a in part for b in part if a != b]) for part in (range(3), range(3, 7))]
    between = np.mean([pairs[a][b] for a in range(3) for b in range(3, 7)])
    is_target = (torch.arange(7) >= 3).double()
    kernel = Kernel(image_kernel(features, width), torch.arange(7))
    assert float(kernel.mmd(1 - is_target, is_target)) == pytest.approx(sum(within) - 2 * between, rel=1e-4)
    likeness = [np.mean(pairs[6][:3]) - np.mean(pairs[6][3:6])]
    assert float(kernel.witness(1 - is_target, is_target)[6]) == pytest.approx(likeness[0], rel=1e-4)
    # The same pixels one by one, as those of a class are compared.
    flat, of_image = features.flatten(0, 1), torch.arange(7).repeat_interleave(4)
    by_pixel = Kernel(gaussian(flat, flat, width), of_image)
    found = by_pixel.mmd(1 - is_target[of_image], is_target[of_image])
    assert float(found) == pytest.approx(sum(within) - 2 * between, rel=1e-4)


def test_bandwidth_is_the_median_distance() -> None:
    features = drawn(61, 3, seed=0)
    distances = np.sort(cdist(features.double().numpy(), features.double().numpy())[np.triu_indices(61, 1)])
    assert bandwidth(features) == pytest.approx(distances[(len(distances) - 1) // 2], rel=1e-6)
    assert bandwidth(torch.ones(5, 3)) == 1


def p_value(shift: float, seed: int) -> float:
    """The p-value of 2 × 6 images whose pixels share the image's own mean, which is where the images differ."""
    means = drawn(12, 1, 2, seed=seed)
    features = means + 0.1 * drawn(12, 5, 2, seed=seed + 1000)
    features[6:] += shift
    kernel = Kernel(image_kernel(features, bandwidth(features.flatten(0, 1))), torch.arange(12))
    return kernel.p_value([image >= 6 for image in range(12)], range(12), 99, seed)


def test_p_values_are_uniform_without_a_shift_and_small_with_one() -> None:
    none = [p_value(0.0, seed) for seed in range(100)]
    assert kstest(none, "uniform").pvalue > 0.05
    assert max(p_value(4.0, seed) for seed in range(5)) <= 0.02


def test_what_is_permuted_are_groups() -> None:
    """Two groups a domain can be dealt in six ways, of which two are the true one and its mirror."""
    values = torch.block_diag(torch.ones(6, 6), torch.ones(6, 6))
    kernel, groups = Kernel(values, torch.arange(12)), [image // 3 for image in range(12)]
    is_target = [image >= 6 for image in range(12)]
    assert kernel.p_value(is_target, groups, 999, 0) == pytest.approx(1 / 3, abs=0.05)
    assert kernel.p_value(is_target, range(12), 999, 0) < 0.02


def test_divergence_of_normals_is_the_integral() -> None:
    points = np.linspace(-30, 30, 200_001)
    first, second = norm(0.5, 1.2), norm(-1.0, 2.0)
    wanted = trapezoid(first.pdf(points) * (first.logpdf(points) - second.logpdf(points)), points)
    given = [torch.tensor(value, dtype=torch.float64) for value in (0.5, 1.2**2, -1.0, 2.0**2)]
    assert float(normal_divergence(*given)) == pytest.approx(wanted, rel=1e-6)


def test_bbse_finds_the_prior_that_predictions_hide() -> None:
    recall = torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.6, 0.3], [0.1, 0.2, 0.6]], dtype=torch.float64)
    source, target = torch.tensor([0.2, 0.3, 0.5]).double(), torch.tensor([0.6, 0.35, 0.05]).double()
    confusion, predicted = 1e6 * recall * source, 2e5 * recall @ target
    assert corrected_histogram(confusion, predicted).numpy() == pytest.approx(target.numpy(), abs=1e-6)
    assert not np.allclose((predicted / predicted.sum()).numpy(), target.numpy(), atol=0.05)


def test_bbse_knows_nothing_where_the_source_explains_no_prediction() -> None:
    only_first = torch.tensor([[5, 1], [0, 0]])
    assert corrected_histogram(only_first, torch.tensor([0, 7])).tolist() == [0, 0]
    assert corrected_histogram(torch.zeros(2, 2), torch.tensor([0, 7])).tolist() == [0, 0]


def test_a_ratio_is_of_root_mean_squares() -> None:
    measure = Measure("MMD²", "stage 1", [3.0, 5.0], [-1.0, 1.0])
    assert (measure.gap, measure.floor) == (4, 1)
    assert measure.ratio == pytest.approx(np.sqrt(17))
    assert Measure("MMD²", "stage 1", [-0.2, 0.1], [0.1, -0.2]).ratio == pytest.approx(1)
    assert Measure("MMD²", "stage 1", [-0.2, 0.1], [0.1, -0.2]).gap == 0
    below = Measure("MMD²", "stage 1", [-3.0, -5.0], [-1.0, 1.0])
    assert below.ratio == pytest.approx(np.sqrt(17)) and below.gap == 0 and not below.is_high
    assert Measure("labels", "true", [0.0], [0.0]).ratio == 1
    assert Measure("labels", "true", [0.1], [0.0]).ratio is None

"""CORAL and MMD: values and gradients against the formulas of the papers, in loops of double precision."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from strategies.components.moments import coral, mmd

Array = NDArray[np.float64]
BANDWIDTHS = (0.5, 1.0, 2.0)


def make_features(number: int, channels: int, seed: int) -> Tensor:
    return torch.randn(number, channels, generator=torch.Generator().manual_seed(seed)) * (1 + seed) + seed


def coral_by_loops(source: Array, target: Array) -> float:
    def covariance(features: Array) -> Array:
        mean = sum(features) / len(features)
        return np.asarray(sum(np.outer(one - mean, one - mean) for one in features)) / (len(features) - 1)

    channels = source.shape[1]
    return float(((covariance(source) - covariance(target)) ** 2).sum() / (4 * channels**2))


def mean_distance(source: Array, target: Array) -> float:
    """Over all ordered pairs, each set having half of the weight."""
    weights = [0.5 / len(source)] * len(source) + [0.5 / len(target)] * len(target)
    both = [*source, *target]
    return sum(
        weight * other * ((one - two) ** 2).sum()
        for one, weight in zip(both, weights, strict=True)
        for two, other in zip(both, weights, strict=True)
    )


def mmd_by_loops(source: Array, target: Array, mean: float, bandwidths: tuple[float, ...] = BANDWIDTHS) -> float:
    def kernel(one: Array, two: Array) -> float:
        return sum(np.exp(-((one - two) ** 2).sum() / (2 * alpha * mean)) for alpha in bandwidths)

    def within(features: Array) -> float:
        number = len(features)
        pairs = [kernel(features[i], features[j]) for i in range(number) for j in range(number) if i != j]
        return sum(pairs) / (number * (number - 1))

    between = sum(kernel(one, two) for one in source for two in target) / (len(source) * len(target))
    return within(source) + within(target) - 2 * between


def differences(function: Callable[[Array], float], at: Array) -> Array:
    """The gradient by central differences."""
    found = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[place] = 1e-5
        found[place] = (function(at + step) - function(at - step)) / 2e-5
    return found


def gradients(function: Callable[..., Tensor], *features: Tensor) -> tuple[Tensor, ...]:
    leaves = [one.clone().requires_grad_() for one in features]
    return torch.autograd.grad(function(*leaves), leaves)


@pytest.mark.parametrize(("source", "target", "channels"), [(7, 5, 4), (5, 5, 1), (2, 3, 6)])
def test_coral_is_the_papers(source: int, target: int, channels: int) -> None:
    features = make_features(source, channels, 0), make_features(target, channels, 1)
    first, second = (one.double().numpy() for one in features)
    assert float(coral(*features)) == pytest.approx(coral_by_loops(first, second), rel=1e-5)
    of_source, of_target = gradients(coral, *features)
    np.testing.assert_allclose(of_source, differences(lambda x: coral_by_loops(x, second), first), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(of_target, differences(lambda x: coral_by_loops(first, x), second), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("source", "target", "channels"), [(7, 5, 4), (5, 5, 1), (2, 3, 6)])
def test_mmd_is_the_papers(source: int, target: int, channels: int) -> None:
    features = make_features(source, channels, 0), make_features(target, channels, 1)
    first, second = (one.double().numpy() for one in features)
    # No gradient goes through the bandwidth.
    mean = mean_distance(first, second)
    assert float(mmd(*features, BANDWIDTHS)) == pytest.approx(mmd_by_loops(first, second, mean), rel=1e-4, abs=1e-6)
    of_source, of_target = gradients(mmd, *features)
    wanted = differences(lambda x: mmd_by_loops(x, second, mean), first)
    np.testing.assert_allclose(of_source, wanted, rtol=1e-3, atol=1e-6)
    wanted = differences(lambda x: mmd_by_loops(first, x, mean), second)
    np.testing.assert_allclose(of_target, wanted, rtol=1e-3, atol=1e-6)


def test_the_bandwidths_are_the_kernels() -> None:
    features = make_features(6, 3, 0), make_features(6, 3, 1)
    first, second = (one.double().numpy() for one in features)
    wanted = mmd_by_loops(first, second, mean_distance(first, second), (0.25, 4.0))
    assert float(mmd(*features, (0.25, 4.0))) == pytest.approx(wanted, rel=1e-4)


def test_weights_of_coral_are_how_often_a_feature_is_drawn() -> None:
    source, target = make_features(3, 2, 0), make_features(5, 2, 1)
    repeated, theirs = source[[0, 0, 0, 1]].double().numpy(), target.double().numpy()
    # Divided by the share of pairs of two different features, as by (n − 1) / n without weights.
    ours = np.cov(repeated.T, bias=True) / (2 * 3 / 4 * 1 / 4)
    wanted = ((ours - np.cov(theirs.T)) ** 2).sum() / (4 * 2**2)
    found = coral(source, target, source_weights=torch.tensor([6.0, 2.0, 0.0]))
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)


def test_weights_of_mmd_are_how_often_a_feature_is_drawn() -> None:
    """Pairs are drawn by the weights too, but for those of a feature with itself."""
    source, target = make_features(4, 3, 0), make_features(2, 3, 1)
    both = torch.cat([source[:3], target]).double().numpy()
    squares = ((both[:, None] - both[None]) ** 2).sum(-1)
    halves = np.array([3 / 12, 1 / 12, 2 / 12, 1 / 4, 1 / 4])
    kernel = sum(np.exp(-squares / (2 * alpha * (halves @ squares @ halves))) for alpha in BANDWIDTHS)
    within = (3 * kernel[0, 1] + 6 * kernel[0, 2] + 2 * kernel[1, 2]) / 11
    between = (3 * kernel[0, 3:] + kernel[1, 3:] + 2 * kernel[2, 3:]).mean() / 6
    found = mmd(source, target, source_weights=torch.tensor([3.0, 1.0, 2.0, 0.0]))
    assert float(found) == pytest.approx(float(within + kernel[3, 4] - 2 * between), rel=1e-4)


@pytest.mark.parametrize("distance", [coral, mmd])
def test_equal_domains_have_no_distance(distance: Any) -> None:
    features = make_features(300, 4, 0)
    same, apart = (distance(features[:150], other) for other in (features[150:], features[150:] * 2))
    assert abs(float(same)) < 0.02 < float(apart)
    assert float(coral(features, features)) == 0


def test_mmd_is_unbiased() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = [float(mmd(*torch.randn(2, 8, 2, generator=generator))) for _ in range(200)]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / 200**0.5
    assert min(draws) < -0.05, "no estimate that is never below 0 has a mean of 0"


@pytest.mark.parametrize("distance", [coral, mmd])
@pytest.mark.parametrize("number", [1, 4])
def test_where_fewer_than_two_features_count_there_is_nothing_to_learn(distance: Any, number: int) -> None:
    source, target = make_features(number, 3, 0).requires_grad_(), make_features(5, 3, 1).requires_grad_()
    weights = torch.zeros(number)
    for counted in (weights, torch.eye(number)[0]):
        found = distance(source, target, source_weights=counted)
        assert found.item() == 0
        for gradient in torch.autograd.grad(found, [source, target]):
            assert not gradient.any()


@pytest.mark.parametrize("distance", [coral, mmd])
def test_features_that_are_all_the_same_give_numbers(distance: Any) -> None:
    source, target = (torch.full((6, 3), 0.1).requires_grad_() for _ in range(2))
    found = distance(source, target)
    assert found.item() == pytest.approx(0, abs=1e-6)
    for gradient in torch.autograd.grad(found, [source, target]):
        assert gradient.isfinite().all() and gradient.abs().max() < 1e-3


def test_a_large_mean_costs_no_digits() -> None:
    features = make_features(20, 4, 0), make_features(20, 4, 1)
    for distance in (coral, mmd):
        far = distance(features[0] + 10_000, features[1] + 10_000)
        torch.testing.assert_close(far, distance(*features), rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("distance", [coral, mmd])
def test_half_precision_computes_in_float32(distance: Any) -> None:
    features = [make_features(9, 4, seed).bfloat16() for seed in (0, 1)]
    wanted = distance(*[one.float() for one in features])
    with torch.autocast("cpu", torch.bfloat16):
        found = distance(*features)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted)

"""The scores against formulas written out here, SciPy and scikit-learn."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, ortho_group
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from lightning_app.rank.class_overlap import gaussian_bhattacharyya
from lightning_app.rank.feature_moments import FeatureMoments
from lightning_app.rank.h_score import h_score, ledoit_wolf_shrinkage
from lightning_app.rank.log_evidence import log_evidence, log_me
from lightning_app.rank.nearest_neighbors import neighbor_accuracy
from lightning_app.rank.principal_components import principal_components
from lightning_app.rank.source_classes import SourceClasses

Array = NDArray[np.float64]
CHANCE = np.random.default_rng(0)
LABELS = CHANCE.choice(4, 120, p=[0.5, 0.3, 0.2, 0.0])  # the last class does not occur
FEATURES = CHANCE.normal(size=(120, 6)) * [1, 2, 0.5, 1, 3, 1] + CHANCE.normal(size=(4, 6))[LABELS] + 5
PROBABILITIES = CHANCE.dirichlet([0.3] * 5, 120) * [1, 1, 1, 1, 0]  # source class 4 is never given
PROBABILITIES /= PROBABILITIES.sum(1, keepdims=True)


def moments(features: Array = FEATURES, labels: Array = LABELS, parts: Sequence[int] = (120,)) -> FeatureMoments:
    """Sums over the parts, added one after another."""
    whole = FeatureMoments(4, features.shape[1])
    for rows in np.split(np.arange(len(features)), np.cumsum(parts)[:-1]):
        whole.add(torch.from_numpy(features[rows]), torch.from_numpy(labels[rows]))
    return whole


def largest_evidence(features: Array, target: Array) -> float:
    """max over α, β of log N(y; 0, F Fᵀ/α + I/β), by brute force."""

    def negative(logs: Array) -> float:
        alpha, beta = np.exp(logs)
        covariance = features @ features.T / alpha + np.eye(len(target)) / beta
        return -float(multivariate_normal(np.zeros(len(target)), covariance).logpdf(target))

    starts = [np.array([0.0, 0.0]), np.array([5.0, 3.0])]
    return max(-minimize(negative, start, method="Nelder-Mead", tol=1e-9).fun for start in starts)


def test_log_evidence_is_the_largest_there_is() -> None:
    features, targets = FEATURES[:40], np.eye(3)[LABELS[:40]]
    found = log_evidence(
        torch.from_numpy(features.T @ features),
        torch.from_numpy(targets.T @ features),
        torch.from_numpy((targets**2).sum(0)),
        torch.tensor(40.0, dtype=torch.float64),
    )
    wanted = [largest_evidence(features, target) for target in targets.T]
    np.testing.assert_allclose(found, wanted, rtol=1e-7)


def test_log_me_is_the_mean_evidence_of_the_classes_that_occur() -> None:
    features, targets = FEATURES[:40], np.eye(3)[LABELS[:40]]
    centred = features - features.mean(0)
    wanted = np.mean([largest_evidence(centred, target - target.mean()) for target in targets.T]) / 40
    assert log_me(moments(features, LABELS[:40], (40,))) == pytest.approx(wanted, rel=1e-7)


def test_log_me_of_features_that_say_nothing_or_everything() -> None:
    nothing = log_me(moments(np.ones((120, 2))))
    # Then only the noise is left: β = n / yᵀy.
    shares = np.bincount(LABELS)[:3] / 120
    assert nothing == pytest.approx(np.mean(-0.5 * np.log(2 * np.pi * shares * (1 - shares)) - 0.5), abs=1e-6)
    everything = log_me(moments(np.eye(4)[LABELS]))
    assert np.isfinite(everything) and everything > log_me(moments()) > nothing


def test_features_may_be_rotated_moved_and_mirrored() -> None:
    rotation = ortho_group.rvs(6, random_state=1)
    turned = (FEATURES - 2) @ rotation
    for formula in (log_me, h_score):
        assert formula(moments(turned)) == pytest.approx(formula(moments()), rel=1e-9)
    mirrored = FEATURES * [1, -1, 1, -1, -1, 1] + 3
    assert gaussian_bhattacharyya(moments(mirrored)) == pytest.approx(gaussian_bhattacharyya(moments()), rel=1e-9)


def test_parts_add_up_to_the_whole() -> None:
    whole, parts = moments(), moments(parts=(50, 1, 69))
    for formula in (log_me, h_score, gaussian_bhattacharyya):
        assert formula(parts) == pytest.approx(formula(whole), rel=1e-12)


def test_h_score_by_scikit_learn() -> None:
    fitted = LedoitWolf().fit(FEATURES)
    assert float(ledoit_wolf_shrinkage(moments())) == pytest.approx(fitted.shrinkage_, rel=1e-9)
    means = np.stack([FEATURES[label == LABELS].mean(0) for label in LABELS])
    between = np.cov(means, rowvar=False, bias=True)
    wanted = (1 - fitted.shrinkage_) * np.trace(np.linalg.inv(fitted.covariance_) @ between)
    assert h_score(moments()) == pytest.approx(wanted, rel=1e-9)


def test_gbc_by_hand() -> None:
    total = 0.0
    for one, other in permutations(range(3), 2):
        (m1, v1), (m2, v2) = (
            (FEATURES[c == LABELS, :4].mean(0), FEATURES[c == LABELS, :4].var(0)) for c in (one, other)
        )
        v = (v1 + v2) / 2
        distance = np.sum((m1 - m2) ** 2 / v) / 8 + 0.5 * np.log(np.prod(v) / np.sqrt(np.prod(v1) * np.prod(v2)))
        total -= np.exp(-distance)
    assert gaussian_bhattacharyya(moments(), dimensions=4) == pytest.approx(total, rel=1e-9)
    far = FEATURES + 1000 * LABELS[:, None]
    assert gaussian_bhattacharyya(moments(far)) == 0


def source_classes(parts: Sequence[int] = (120,)) -> SourceClasses:
    whole = SourceClasses(4, 5)
    for rows in np.split(np.arange(120), np.cumsum(parts)[:-1]):
        whole.add(torch.from_numpy(PROBABILITIES[rows]), torch.from_numpy(LABELS[rows]))
    return whole


@pytest.mark.parametrize("parts", [(120,), (7, 113)])
def test_leep_written_out(parts: Sequence[int]) -> None:
    wanted = 0.0
    for probabilities, label in zip(PROBABILITIES, LABELS, strict=True):
        expected = 0.0
        for z in range(4):
            joint = PROBABILITIES[label == LABELS, z].sum() / 120
            expected += joint / (PROBABILITIES[:, z].sum() / 120) * probabilities[z]
        wanted += np.log(expected) / 120
    found = source_classes(parts).log_likelihood(torch.from_numpy(PROBABILITIES), torch.from_numpy(LABELS)) / 120
    assert float(found) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("parts", [(120,), (7, 113)])
def test_nce_written_out(parts: Sequence[int]) -> None:
    guessed = PROBABILITIES.argmax(1)
    wanted = 0.0
    for y in range(3):
        for z in range(4):
            both = np.mean((y == LABELS) & (guessed == z))
            if both:
                wanted += both * np.log(both / np.mean(guessed == z))
    assert source_classes(parts).nce() == pytest.approx(wanted, rel=1e-9)


def test_a_source_that_knows_the_classes_loses_nothing() -> None:
    known = SourceClasses(3, 3)
    certain = torch.eye(3)[torch.from_numpy(LABELS)]
    known.add(certain, torch.from_numpy(LABELS))
    assert known.nce() == 0
    assert float(known.log_likelihood(certain, torch.from_numpy(LABELS))) == 0


def test_neighbors_by_scikit_learn_are_of_other_images() -> None:
    images = np.arange(120) % 3
    told = np.empty(120)
    for image in range(3):
        classifier = KNeighborsClassifier(5).fit(FEATURES[images != image], LABELS[images != image])
        told[images == image] = classifier.predict(FEATURES[images == image])
    found = neighbor_accuracy(
        torch.from_numpy(FEATURES), torch.from_numpy(LABELS), torch.from_numpy(images), neighbors=5
    )
    assert found == pytest.approx(balanced_accuracy_score(LABELS, told))
    # Were pixels of the same image neighbours, an image's look would tell all.
    looks = torch.from_numpy(1000.0 * LABELS[:, None] + np.zeros((1, 2)))
    by_class = torch.from_numpy(LABELS)
    for neighbors in (1, 120):  # other images have fewer
        assert neighbor_accuracy(looks, by_class, by_class, neighbors) == 0


def test_principal_components_by_scikit_learn() -> None:
    dead = np.column_stack([FEATURES, np.full(120, 0.3)])  # a channel that does not vary
    scaled = (FEATURES - FEATURES.mean(0)) / FEATURES.std(0)
    wanted = PCA(4, svd_solver="full").fit_transform(scaled)
    found = principal_components(torch.from_numpy(dead).float(), 4).numpy()
    np.testing.assert_allclose(np.abs(found), np.abs(wanted), atol=1e-4)
    kept = principal_components(torch.from_numpy(FEATURES).float(), 99).numpy()
    np.testing.assert_allclose(kept @ kept.T, scaled @ scaled.T, atol=1e-4)

"""Distances between two samples, each by its published formula, in double precision."""

import torch
from torch import Tensor

RIDGE = 0.01
"""Weight of the ridge beside the mean square of a standardised feature, which is 1."""
FOLDS = 5


def wasserstein(first: Tensor, second: Tensor) -> Tensor:
    """Returns the 1-Wasserstein distance of each column: the mean distance of the sorted values.

    Of random projections, the mean over the columns is the sliced Wasserstein distance.

    Reference: Bonneel et al., Sliced and Radon Wasserstein barycenters of measures, J. Math. Imaging and Vision 2015,
    https://doi.org/10.1007/s10851-014-0506-3.

    Args:
        first: (N, D).
        second: (N, D), as many values.

    Returns:
        (D,) ≥ 0.
    """
    distances: Tensor = (first.sort(dim=0).values - second.sort(dim=0).values).abs().mean(dim=0)
    return distances


def directions(channels: int, count: int, seed: int) -> Tensor:
    """Draws directions on the unit sphere, (channels, count) float32, for the sliced Wasserstein distance."""
    drawn = torch.randn(channels, count, generator=torch.Generator().manual_seed(seed))
    unit: Tensor = drawn / drawn.norm(dim=0)
    return unit


def frechet(first: Tensor, second: Tensor) -> float:
    """Returns ‖μ₁ − μ₂‖² + Tr(C₁ + C₂ − 2 (C₁C₂)^½), the squared Fréchet distance of two normal distributions.

    (C₁C₂)^½ has the trace of (C₁^½ C₂ C₁^½)^½, which is symmetric, so that its eigenvalues are real.

    Reference: Dowson and Landau, The Fréchet distance between multivariate normal distributions, J. Multivariate
    Analysis 1982, https://doi.org/10.1016/0047-259X(82)90077-X.

    Args:
        first: (N, D), N ≥ 2.
        second: (M, D), M ≥ 2.
    """
    means, covariances = zip(*(_moments(sample) for sample in (first, second)), strict=True)
    values, vectors = torch.linalg.eigh(covariances[0])
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    trace = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp_min(0).sqrt().sum()
    distance = (means[0] - means[1]).square().sum() + covariances[0].trace() + covariances[1].trace() - 2 * trace
    return max(float(distance), 0.0)


def proxy_a_distance(first: Tensor, second: Tensor) -> float:
    """Returns 2 (1 − 2ε), ε being the error of a linear classifier that tells the two samples apart.

    The classifier is a ridge regression on labels ±1, of features that are standardised over both samples. ε is the
    error on held-out images, in folds of whole images: pixels of one image are never on both sides.

    Reference: Ben-David et al., Analysis of representations for domain adaptation, NeurIPS 2006,
    https://papers.nips.cc/paper/2983.

    Args:
        first: (N, P, D), P pixels of each of N ≥ 2 images.
        second: (N, P, D), of as many images.

    Returns:
        In [−2, 2]: by chance below 0 where the samples are alike, 2 where they are apart.
    """
    images, _, channels = first.shape
    joined = torch.stack([first, second]).flatten(0, 2)
    spread, mean = torch.std_mean(joined, dim=0, correction=0)
    joined = (joined - mean) / torch.where(spread > 1e-6 * (mean.abs() + 1e-6), spread, torch.inf)
    features = torch.cat([joined, torch.ones(len(joined), 1)], dim=1).view(2, images, -1, channels + 1)
    sign = torch.tensor([1.0, -1.0]).view(2, 1, 1)
    folds = min(FOLDS, images)
    parts = [features[:, fold::folds].flatten(1, 2) for fold in range(folds)]
    grams = torch.stack([torch.einsum("snd,sne->de", part, part).double() for part in parts])
    sums = torch.stack([(part * sign).sum(dim=(0, 1)).double() for part in parts])
    ridge = RIDGE * torch.eye(channels + 1, dtype=torch.float64)
    ridge[-1, -1] = 0  # the constant is no feature
    wrong = 0.0
    for fold, part in enumerate(parts):
        trained = len(joined) - part.shape[0] * part.shape[1]
        gram = (grams.sum(dim=0) - grams[fold]) / trained
        weights = torch.linalg.solve(gram + ridge, (sums.sum(dim=0) - sums[fold]) / trained)
        scores = (part.double() @ weights) * sign[..., 0]
        # A score of 0 tells nothing: half of such guesses are wrong. Rounding makes no guess of it.
        wrong += float((scores < -1e-9).sum() + (scores.abs() <= 1e-9).sum() / 2)
    return 2 * (1 - 2 * wrong / len(joined))


def normal_divergence(means: Tensor, variances: Tensor, other_means: Tensor, other_variances: Tensor) -> Tensor:
    """Returns KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) in nats, element by element."""
    shifted = (variances + (means - other_means).square()) / other_variances
    return ((other_variances / variances).log() + shifted - 1) / 2


def _moments(sample: Tensor) -> tuple[Tensor, Tensor]:
    sample = sample.double()
    mean = sample.mean(dim=0)
    centred = sample - mean
    return mean, centred.T @ centred / (len(sample) - 1)

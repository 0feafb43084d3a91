"""LogME: how probable the labels are under a linear model of the features, whatever its weights."""

import math

import torch
from torch import Tensor

from lightning_app.rank.feature_moments import FeatureMoments

_ITERATIONS = 1000
_TOLERANCE = 1e-8
_LARGEST = 1e12


def log_evidence(products: Tensor, cross: Tensor, squares: Tensor, count: Tensor) -> Tensor:
    """Finds max over α, β of log p(y | F, α, β), for y = F w + noise with w ~ N(0, 1/α) and noise ~ N(0, 1/β).

    The fixed point m = β (αI + βFᵀF)⁻¹ Fᵀy, γ = Σ βs / (α + βs), α = γ / ‖m‖², β = (n − γ) / ‖Fm − y‖² is iterated to
    its end; s are the eigenvalues of FᵀF, and the residual follows from the sums.

    Args:
        products: (D, D) float64, FᵀF.
        cross: (K, D) float64, Fᵀy of each of K columns y.
        squares: (K,) float64, yᵀy.
        count: the number of rows, of no dimension.

    Returns:
        (K,) float64, in nats.
    """
    eigenvalues, vectors = torch.linalg.eigh(products)
    s = eigenvalues.clamp_min(0)
    projected = cross @ vectors
    alpha = beta = torch.ones(len(cross), 1, dtype=products.dtype)
    for _ in range(_ITERATIONS):
        m = beta * projected / (alpha + beta * s)
        gamma = (beta * s / (alpha + beta * s)).sum(1, keepdim=True)
        residual = _residual(m, s, projected, squares)
        # Features that say nothing have m = 0, and such that say all no residual.
        new_alpha = (gamma / (m**2).sum(1, keepdim=True)).nan_to_num(_LARGEST).clamp(max=_LARGEST)
        new_beta = ((count - gamma) / residual).clamp(max=_LARGEST)
        moved = (new_alpha / alpha - 1).abs().max() + (new_beta / beta - 1).abs().max()
        alpha, beta = new_alpha, new_beta
        if moved < _TOLERANCE:
            break
    m = beta * projected / (alpha + beta * s)
    evidence: Tensor = (
        len(s) / 2 * alpha.log()
        + count / 2 * beta.log()
        - (alpha + beta * s).log().sum(1, keepdim=True) / 2
        - beta / 2 * _residual(m, s, projected, squares)
        - alpha / 2 * (m**2).sum(1, keepdim=True)
        - count / 2 * math.log(2 * math.pi)
    )
    return evidence.squeeze(1)


def log_me(moments: FeatureMoments) -> float:
    """Returns LogME: the log evidence of each class against the rest, a pixel, averaged over the classes that occur.

    Features and labels are taken less their means, which stands for an intercept. The larger, the better.
    """
    present = moments.counts > 0
    counts = moments.counts[present]
    cross = moments.sums[present] - counts[:, None] * moments.mean
    squares = counts - counts**2 / moments.count
    evidence = log_evidence(moments.scatter, cross, squares, moments.count)
    return float((evidence / moments.count).mean())


def _residual(m: Tensor, s: Tensor, projected: Tensor, squares: Tensor) -> Tensor:
    residual = squares[:, None] - 2 * (m * projected).sum(1, keepdim=True) + (s * m**2).sum(1, keepdim=True)
    return residual.clamp_min(squares[:, None] * 1e-12)

"""H-score: how much of the features' variance lies between the classes."""

import torch
from torch import Tensor

from lightning_app.rank.feature_moments import FeatureMoments


def h_score(moments: FeatureMoments) -> float:
    """Returns the regularised H-score, tr(Σ̂⁻¹ (1 − α) Σ_between), with Σ̂ = (1 − α) Σ + α tr(Σ)/D · I.

    α is the shrinkage of Ledoit and Wolf. The larger, the better; at most the number of classes less one.
    """
    covariance = moments.scatter / moments.count
    shrinkage = ledoit_wolf_shrinkage(moments)
    spread = covariance.trace() / len(covariance)
    if spread == 0:
        return 0.0
    shrunk = (1 - shrinkage) * covariance + shrinkage * spread * torch.eye(len(covariance), dtype=covariance.dtype)
    present = moments.counts > 0
    counts = moments.counts[present]
    between = moments.sums[present] / counts[:, None] - moments.mean
    between = between.T @ (between * (counts / moments.count)[:, None])
    # The pseudo-inverse is for features that do not vary, where nothing was shrunk.
    return float((1 - shrinkage) * (torch.linalg.pinv(shrunk, hermitian=True) @ between).trace())


def ledoit_wolf_shrinkage(moments: FeatureMoments) -> Tensor:
    """Returns the share α in [0, 1] by which Ledoit and Wolf move a covariance towards a multiple of the identity."""
    count, mean, scatter = moments.count, moments.mean, moments.scatter
    dimensions = len(mean)
    squared = mean @ mean
    lengths = moments.products.trace()
    # Σ ‖f − mean‖⁴, multiplied out.
    fourth = (
        moments.fourth
        - 4 * (mean @ moments.cubes)
        + 4 * (mean @ moments.products @ mean)
        + 2 * squared * lengths
        - 4 * squared * (mean @ moments.sums.sum(0))
        + count * squared**2
    )
    sum_of_squares = (scatter**2).sum() / count**2
    spread = scatter.trace() / count / dimensions
    noise = (fourth / count - sum_of_squares) / (dimensions * count)
    distance = sum_of_squares / dimensions - spread**2
    if distance <= 0 or noise <= 0:
        return torch.zeros_like(noise)
    return (noise / distance).clamp(max=1)

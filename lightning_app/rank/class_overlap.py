"""GBC: how far the classes overlap, each taken for a Gaussian."""

from lightning_app.rank.feature_moments import FeatureMoments

_LEAST_VARIANCE = 1e-6


def gaussian_bhattacharyya(moments: FeatureMoments, dimensions: int = 64) -> float:
    """Returns the Gaussian Bhattacharyya coefficient with diagonal covariances, −Σ_{i≠j} exp(−D_B(i, j)).

    D_B = ⅛ Σ Δ²/σ̄² + ½ Σ ln(σ̄² / (σᵢσⱼ)), Δ the difference of the means, σ̄² the mean of the variances. 0 is best:
    no two classes overlap.

    Args:
        moments: sums over features, the most important first.
        dimensions: so many of the features count: in more, no two classes overlap by a number worth telling.
    """
    present = moments.counts > 0
    counts = moments.counts[present, None]
    mean = moments.sums[present, :dimensions] / counts
    variance = (moments.squares[present, :dimensions] / counts - mean**2).clamp_min(_LEAST_VARIANCE)
    between = (variance[:, None] + variance[None]) / 2
    difference = ((mean[:, None] - mean[None]) ** 2 / between).sum(-1) / 8
    log_ratio = (between.log() - (variance.log()[:, None] + variance.log()[None]) / 2).sum(-1) / 2
    overlap = (-difference - log_ratio).exp()
    return float(overlap.diagonal().sum() - overlap.sum())

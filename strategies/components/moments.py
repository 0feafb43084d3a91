"""How far apart two sets of features are by their moments, in float32 under half precision.

Features may be weighed: those of weight 0 do not count, and with equal weights the formulas are the unweighted ones.
A set in which fewer than two features count has no unbiased estimate: the distance is then 0, with a gradient of 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def coral(
    source: Tensor, target: Tensor, source_weights: Tensor | None = None, target_weights: Tensor | None = None
) -> Tensor:
    """Squared Frobenius distance of the unbiased covariances, ‖C_s − C_t‖² / (4 D²).

    Reference: Sun and Saenko, Deep CORAL, ECCV Workshops 2016, https://arxiv.org/abs/1607.01719.

    Args:
        source: (N, D).
        target: (M, D).
        source_weights: (N,) ≥ 0, what each feature counts; None for all alike.
        target_weights: (M,) ≥ 0.

    Returns:
        () float32, ≥ 0.
    """
    with torch.autocast(source.device.type, enabled=False):
        of_source, source_spread = _shares(source, source_weights)
        of_target, target_spread = _shares(target, target_weights)
        difference = _covariance(source.float(), of_source, source_spread) - _covariance(
            target.float(), of_target, target_spread
        )
        return _if_estimable(difference.square().sum() / (4 * source.shape[1] ** 2), source_spread, target_spread)


def mmd(
    source: Tensor,
    target: Tensor,
    bandwidths: Sequence[float] = (0.5, 1.0, 2.0),
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    """Squared maximum mean discrepancy, unbiased: mean k(s, s') + mean k(t, t') − 2 mean k(s, t), s ≠ s', t ≠ t'.

    k(a, b) = Σ_α exp(−‖a − b‖² / (2 α m)), where m is the mean of ‖a − b‖² over all pairs of both sets, each set
    counting half; no gradient goes through it.

    Reference: Long et al., DAN, ICML 2015, https://arxiv.org/abs/1502.02791; Gretton et al., A kernel two-sample test,
    JMLR 2012, https://jmlr.org/papers/v13/gretton12a.html.

    Args:
        source: (N, D).
        target: (M, D).
        bandwidths: the factors α, each > 0.
        source_weights: (N,) ≥ 0, what each feature counts; None for all alike.
        target_weights: (M,) ≥ 0.

    Returns:
        () float32; it may be a little below 0, as an unbiased estimate of something ≥ 0 must.
    """
    with torch.autocast(source.device.type, enabled=False):
        of_source, source_spread = _shares(source, source_weights)
        of_target, target_spread = _shares(target, target_weights)
        features = torch.cat([source, target]).float()
        # Distances do not change, but large means would leave no digits for them.
        features = features - features.detach().mean(dim=0)
        norms = features.square().sum(dim=1)
        distances = (norms.unsqueeze(1) + norms - 2 * features @ features.T).clamp_min(0)
        halves = torch.cat([of_source, of_target]) / 2
        # Features that lie this close together are all the same, and their kernel is that of distance 0.
        mean = (halves @ distances.detach() @ halves).clamp_min(torch.finfo(distances.dtype).eps)
        kernel = torch.stack([(distances / (-2 * alpha * mean)).exp() for alpha in bandwidths]).sum(dim=0)
        number = len(source)
        within = _pairs(kernel[:number, :number], of_source, source_spread)
        within = within + _pairs(kernel[number:, number:], of_target, target_spread)
        between = of_source @ kernel[:number, number:] @ of_target
        return _if_estimable(within - 2 * between, source_spread, target_spread)


def _shares(features: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Returns the weights with a sum of 1, and the share of pairs that are of two different features: 1 − Σ w²."""
    if weights is None:
        weights = torch.ones(len(features), device=features.device)
    weights = weights.float()
    shares = weights / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
    return shares, shares.sum().square() - shares.square().sum()


def _covariance(features: Tensor, shares: Tensor, spread: Tensor) -> Tensor:
    centred = features - shares @ features
    return (centred * shares.unsqueeze(1)).T @ centred / torch.where(spread > 0, spread, 1)


def _pairs(kernel: Tensor, shares: Tensor, spread: Tensor) -> Tensor:
    """Returns the mean over the pairs of two different features."""
    pairs = shares @ kernel @ shares - (shares.square() * kernel.diagonal()).sum()
    return pairs / torch.where(spread > 0, spread, 1)


def _if_estimable(distance: Tensor, *spreads: Tensor) -> Tensor:
    return distance * (torch.stack(spreads) > 0).all()

"""A confidence for each class from which pseudo-labels are trusted: as large a share of every class."""

import torch
from torch import Tensor

from datamodules.batch import IGNORE

BINS = 4096
"""Bins of a class. They are even in the log-odds of the confidence, for it crowds near 1: in bins of a thousandth most
pixels of a common class would lie in the last one."""

# Of 1 / 400, less than any likeliest of 255 classes has, and of what float32 rounds to 1.
_LOWEST, _HIGHEST = -6.0, 18.0
_WIDTH = (_HIGHEST - _LOWEST) / BINS


def confidence_histogram(probabilities: Tensor) -> Tensor:
    """Counts the pixels of each predicted class by their confidence. Histograms of several images add up.

    Args:
        probabilities: (B, C, H, W) float32, of the classes.

    Returns:
        (C, BINS) int64; the pixels whose likeliest class is c are counted in row c.
    """
    confidence, labels = probabilities.max(dim=1)
    place = ((confidence.logit() - _LOWEST) / _WIDTH).clamp(0, BINS - 1).long()
    counts = torch.zeros(probabilities.shape[1] * BINS, dtype=torch.int64, device=labels.device)
    cells = (labels * BINS + place).flatten()
    return counts.scatter_add_(0, cells, torch.ones_like(cells)).view(-1, BINS)


def class_thresholds(histogram: Tensor, portion: float) -> Tensor:
    """Returns the confidence that the given portion of the pixels predicted as each class reach.

    That of the pixel of rank ⌊portion · n⌋ among the n of its class, the surest first, rounded down to the edge of its
    bin. Where that rank is 0, for the class was predicted nowhere or next to nowhere, it is the last edge: 1.

    Reference: Zou et al., Class-balanced self-training, ECCV 2018, https://arxiv.org/abs/1810.07911.

    Args:
        histogram: (C, BINS) int64, as ``confidence_histogram`` counts.
        portion: in [0, 1].

    Returns:
        (C,) float32 in (0, 1].
    """
    rank = (histogram.sum(dim=1, keepdim=True).double() * portion).floor()
    surer_bins = (histogram.flip(1).cumsum(dim=1) < rank).sum(dim=1)
    edge = _LOWEST + _WIDTH * (BINS - 1 - surer_bins).double()
    return edge.sigmoid().float()


def balanced_labels(probabilities: Tensor, thresholds: Tensor) -> Tensor:
    """Labels each pixel by the class of the largest p_c / k_c, if that is at least 1.

    Reference: Zou et al., Class-balanced self-training, ECCV 2018, https://arxiv.org/abs/1810.07911.

    Args:
        probabilities: (B, C, H, W) float32.
        thresholds: (C,) float32, k, in (0, 1].

    Returns:
        (B, H, W) int64 class ids, 255 = ignore.
    """
    ratio, labels = (probabilities / thresholds[:, None, None]).max(dim=1)
    return torch.where(ratio >= 1, labels, IGNORE)


def soft_labels(probabilities: Tensor, thresholds: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Spreads the label of each pixel over the classes: ŷ_c in proportion to (p_c / k_c)^(1 / strength).

    A pixel gets one if its regularised loss Σ_c (−ŷ_c log p_c + strength · ŷ_c log ŷ_c) is no more than what it costs
    to have none, −Σ_c ŷ_c log k_c. With ŷ put in, that is Σ_c (p_c / k_c)^(1 / strength) ≥ 1.

    Reference: Zou et al., Confidence regularized self-training, ICCV 2019, https://arxiv.org/abs/1908.09822 (LRENT).

    Args:
        probabilities: (B, C, H, W) float32.
        thresholds: (C,) float32, k, in (0, 1].
        strength: of the regulariser, above 0; towards 0 the labels become hard.

    Returns:
        The likeliest classes, (B, H, W) int64 with 255 = ignore, and ŷ, (B, C, H, W) float32, of all pixels.
    """
    smallest = torch.finfo(probabilities.dtype).tiny  # a probability of 0 has no logarithm
    scores = (probabilities.clamp_min(smallest) / thresholds[:, None, None]).log() / strength
    labels = torch.where(scores.logsumexp(dim=1) >= 0, scores.argmax(dim=1), IGNORE)
    return labels, scores.softmax(dim=1)

"""Labels that a network gives to images without any, and the loss on them."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from datamodules.batch import IGNORE


class PseudoLabels(NamedTuple):
    """The likeliest classes of each pixel.

    Attributes:
        labels: (B, H, W) int64 class ids.
        confidence: (B, H, W) float32, the probability of that class, in (0, 1].
    """

    labels: Tensor
    confidence: Tensor


def pseudo_labels(logits: Tensor) -> PseudoLabels:
    """Takes the likeliest class of each pixel.

    Args:
        logits: (B, C, H, W).
    """
    confidence, labels = logits.detach().float().softmax(dim=1).max(dim=1)
    return PseudoLabels(labels, confidence)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy times a weight, averaged over all pixels: those that are ignored or weigh nothing count too.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) int64 class ids, 255 = ignore.
        weights: (B, H, W), ≥ 0.

    Returns:
        () float32.
    """
    entropy = functional.cross_entropy(logits.float(), labels, ignore_index=IGNORE, reduction="none")
    return (weights * entropy).mean()


def class_shares(labels: Tensor, counted: Tensor, classes: int) -> Tensor:
    """Returns the share of all pixels that count and have each class, without waiting for the device.

    Args:
        labels: (B, H, W) int64 class ids below ``classes``.
        counted: (B, H, W) bool.
        classes: the number of classes.

    Returns:
        (classes,) float32; the sum is the share of the pixels that count.
    """
    counts = torch.zeros(classes, dtype=torch.int64, device=labels.device)
    # torch.bincount would wait for the largest id.
    return counts.scatter_add_(0, labels.flatten(), counted.flatten().long()).float() / labels.numel()

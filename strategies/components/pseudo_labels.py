"""Labels that a network gives to images without any, the loss on them, and what is told of them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from datamodules.batch import IGNORE
from strategies.base import Step


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


def confident_labels(probabilities: Tensor, threshold: float) -> Tensor:
    """Labels the pixels whose likeliest class reaches a threshold.

    Args:
        probabilities: (B, C, H, W).
        threshold: in [0, 1].

    Returns:
        (B, H, W) int64 class ids, 255 = ignore.
    """
    confidence, labels = probabilities.max(dim=1)
    return torch.where(confidence >= threshold, labels, IGNORE)


def confident_share(confident: Tensor) -> Tensor:
    """Weighs all pseudo-labels of a batch alike, by the share of confident ones.

    Reference: Tranheden et al., DACS, WACV 2021, https://arxiv.org/abs/2007.08702.

    Args:
        confident: (B, H, W) bool, whether each is confident.

    Returns:
        (B, H, W) float32.
    """
    return confident.float().mean().expand(confident.shape)


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


def agreement(logits: Tensor, labels: Tensor, counted: Tensor | None = None) -> Tensor:
    """Returns the share of pixels whose likeliest class is their label, without a graph.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) int64 class ids, 255 = ignore.
        counted: (B, H, W) bool, the pixels of which; those that are not 255 if None.

    Returns:
        () float32; 0 where no pixel counts.
    """
    counted = labels != IGNORE if counted is None else counted
    agreed = (logits.detach().argmax(dim=1) == labels) & counted
    return agreed.sum() / counted.sum().clamp_min(1)


def log_pseudo_labels(
    step: Step, labels: Tensor, confident: Tensor, classes: Sequence[str], title: str = "pseudo_labels"
) -> None:
    """Logs which share of the pixels is confident, and how much of it each class covers.

    Args:
        step: where it is logged.
        labels: (B, H, W) int64 class ids.
        confident: (B, H, W) bool.
        classes: the names of the classes.
        title: what the names of the logs begin with: of two that make pseudo-labels in a step each has its own.
    """
    shares = class_shares(labels, confident, len(classes))
    step.log(f"{title}/confident", shares.sum())
    for name, share in zip(classes, shares, strict=True):
        step.log(f"{title}/coverage/{name}", share)

"""How undecided a network is: entropy maps of softmax, in float32 under half precision."""

import math

from torch import Tensor


def self_information(logits: Tensor) -> Tensor:
    """Weighted self-information −p · log p / log C of each class in each pixel.

    Reference: Vu et al., ADVENT, CVPR 2019, https://arxiv.org/abs/1811.12833. Computed by ``log_softmax``, which
    needs no small number within the logarithm.

    Args:
        logits: (B, C, H, W), C ≥ 2.

    Returns:
        (B, C, H, W) float32, ≥ 0; the sum over the classes is in [0, 1].
    """
    log_probabilities = logits.float().log_softmax(dim=1)
    return -log_probabilities.exp() * log_probabilities / math.log(logits.shape[1])


def normalized_entropy(logits: Tensor) -> Tensor:
    """Mean over the pixels of the softmax's entropy, divided by that of an even guess.

    Args:
        logits: (B, C, H, W), C ≥ 2.

    Returns:
        () float32 in [0, 1].
    """
    return self_information(logits).sum(dim=1).mean()


def robust_entropy(logits: Tensor) -> Tensor:
    """Mean over the pixels of (H² + 1e-8)², H the softmax's entropy, divided by that of an even guess.

    Beside the plain entropy it is about pixels of which the network is unsure, and leaves those alone of which it is
    nearly sure.

    Reference: Yang and Soatto, FDA, CVPR 2020, https://arxiv.org/abs/2004.05498, whose η is 2.

    Args:
        logits: (B, C, H, W), C ≥ 2.

    Returns:
        () float32 in [0, 1], but for the 1e-8.
    """
    entropy = self_information(logits).sum(dim=1)
    return (entropy.square() + 1e-8).square().mean()

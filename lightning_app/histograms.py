"""How far apart two histograms are."""

import math

import torch
from torch import Tensor


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Returns the Jensen–Shannon divergence in bits: 0 if the shares are the same, 1 if they have no bin in common.

    Reference: Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Information Theory 1991,
    https://doi.org/10.1109/18.61115.

    Args:
        first: (N,) counts or shares ≥ 0, one at least above 0.
        second: (N,), likewise.

    Returns:
        () float64.
    """
    one, other = (histogram.double() / histogram.sum() for histogram in (first, second))
    entropy = torch.special.entr
    nats: Tensor = entropy((one + other) / 2).sum() - (entropy(one).sum() + entropy(other).sum()) / 2
    return nats.clamp(0, math.log(2)) / math.log(2)

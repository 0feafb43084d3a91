"""The maximum mean discrepancy of samples that come in clusters: pixels of images."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_MOST_DISTANCES = 1500
_AT_ONCE = 256


class Kernel:
    """Kernel values between observations, for all comparisons of them at once.

    Pairs within a cluster do not count: pixels of one image are alike whatever the domain, and with them the estimate
    would not be unbiased.

    Reference: Gretton et al., A kernel two-sample test, JMLR 2012, https://jmlr.org/papers/v13/gretton12a.html.

    Args:
        values: (N, N), symmetric.
        clusters: (N,) what each observation is part of.
    """

    def __init__(self, values: Tensor, clusters: Tensor) -> None:
        self._pairs = (clusters[:, None] != clusters[None]).double()
        self._values = values.double() * self._pairs

    def mmd(self, first: Tensor, second: Tensor) -> Tensor:
        """Returns the unbiased MMD²: mean k(a, a′) + mean k(b, b′) − 2 mean k(a, b), over pairs of two clusters.

        Args:
            first: (…, N) 1 for the observations of the one sample, else 0.
            second: (…, N), of the other.

        Returns:
            (…) float64; a little below 0 by chance, and NaN where a sample has fewer than two clusters.
        """
        return self._mean(first, first) + self._mean(second, second) - 2 * self._mean(first, second)

    def witness(self, first: Tensor, second: Tensor) -> Tensor:
        """Returns for each observation how much more it is like the first sample than like the second, (N,).

        The only cluster of a sample is like no other of it: its likeness to its own sample is 0.
        """
        chosen = (first.double(), second.double())
        shares = [self._values @ sample / (self._pairs @ sample).clamp_min(1) for sample in chosen]
        return shares[0] - shares[1]

    def p_value(self, is_target: Sequence[bool], groups: Sequence[object], count: int, seed: int) -> float:
        """Returns how likely an MMD² as large as that of the domains is if the groups' domains are a matter of chance.

        What is exchangeable are the groups: their domains are permuted, and all images of a group go with it.

        Args:
            is_target: the domain of each observation.
            groups: the group of each; none has observations of both domains.
            count: permutations.
            seed: of the permutations.
        """
        _, indices = np.unique(
            [f"{domain}/{group}" for domain, group in zip(is_target, groups, strict=True)], False, True
        )
        of_group = np.zeros(indices.max() + 1, bool)
        of_group[indices] = is_target
        generator = np.random.default_rng(seed)
        permuted = np.stack([of_group, *(generator.permutation(of_group) for _ in range(count))])[:, indices]
        target = torch.from_numpy(permuted.astype(np.float64))
        found = self.mmd(1 - target, target)
        # Of itself the true division is one of the permutations; equal ones differ by rounding.
        return float((found.nan_to_num(-torch.inf) >= found[0] - 1e-12).double().mean())

    def _mean(self, first: Tensor, second: Tensor) -> Tensor:
        first, second = first.double(), second.double()
        return ((first @ self._values) * second).sum(-1) / ((first @ self._pairs) * second).sum(-1)


def bandwidth(features: Tensor) -> float:
    """Returns the median distance between features, of an even choice of them; 1 if most are equal.

    Args:
        features: (N, D).
    """
    chosen = features[:: math.ceil(len(features) / _MOST_DISTANCES)].double()
    median = float(torch.pdist(chosen).median()) if len(chosen) > 1 else 0.0
    return median or 1.0


def gaussian(first: Tensor, second: Tensor, width: float) -> Tensor:
    """Returns exp(−‖a − b‖² / (2 σ²)) of all pairs, (N, M) float32.

    Args:
        first: (N, D) float32, centred: large means would leave no digits for the distances.
        second: (M, D).
        width: σ.
    """
    squares = first.square().sum(dim=1)[:, None] + second.square().sum(dim=1) - 2 * first @ second.T
    return (squares.clamp_min_(0) / (-2 * width**2)).exp_()


def image_kernel(features: Tensor, width: float) -> Tensor:
    """Returns the mean kernel value between the pixels of each two images.

    Args:
        features: (N, P, D) float32, centred, P pixels of each of N images.
        width: σ of the Gaussian kernel.

    Returns:
        (N, N).
    """
    images, pixels, _ = features.shape
    everything = features.flatten(0, 1)
    rows = [
        gaussian(some.flatten(0, 1), everything, width).view(len(some), pixels, images, pixels).mean(dim=(1, 3))
        for some in torch.split(features, max(_AT_ONCE // pixels, 1))
    ]
    return torch.cat(rows)

"""What the scores of features need to know of them: sums that are as large however many pixels there are."""

import torch
from torch import Tensor


class FeatureMoments:
    """Sums over labelled features, in float64.

    Args:
        classes: the number of classes, ≥ 1.
        dimensions: D, the number of features, ≥ 1.

    Attributes:
        counts: (classes,), pixels of each class.
        sums: (classes, D), the sum of the features of each class.
        squares: (classes, D), the sum of their squares.
        products: (D, D), FᵀF.
        cubes: (D,), Σ ‖f‖² f.
        fourth: Σ ‖f‖⁴, of no dimension.
    """

    def __init__(self, classes: int, dimensions: int) -> None:
        self.counts = torch.zeros(classes, dtype=torch.float64)
        self.sums = torch.zeros(classes, dimensions, dtype=torch.float64)
        self.squares = torch.zeros(classes, dimensions, dtype=torch.float64)
        self.products = torch.zeros(dimensions, dimensions, dtype=torch.float64)
        self.cubes = torch.zeros(dimensions, dtype=torch.float64)
        self.fourth = torch.zeros((), dtype=torch.float64)

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Adds pixels.

        Args:
            features: (N, D).
            labels: (N,) int64 class ids, none of them ignored.
        """
        features = features.double()
        lengths = (features**2).sum(1)
        self.counts += torch.bincount(labels, minlength=len(self.counts))
        self.sums.index_add_(0, labels, features)
        self.squares.index_add_(0, labels, features**2)
        self.products += features.T @ features
        self.cubes += lengths @ features
        self.fourth += (lengths**2).sum()

    @property
    def count(self) -> Tensor:
        """The number of pixels, of no dimension."""
        return self.counts.sum()

    @property
    def mean(self) -> Tensor:
        """(D,), the mean over all pixels."""
        return self.sums.sum(0) / self.count

    @property
    def scatter(self) -> Tensor:
        """(D, D), FᵀF of the features less their mean."""
        return self.products - self.count * torch.outer(self.mean, self.mean)

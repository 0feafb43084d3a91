"""LEEP and NCE: what the classes that a network knows already tell of the target's."""

import torch
from torch import Tensor


class SourceClasses:
    """How source classes go with target classes, in float64.

    Args:
        classes: the number of target classes.
        source_classes: the number of classes that the network knows.

    Attributes:
        joint: (classes, source_classes), Σ θ_z over the pixels of each class; θ is the network's probability.
        confusion: (classes, source_classes), the pixels of each class and of each most probable source class.
    """

    def __init__(self, classes: int, source_classes: int) -> None:
        self.joint = torch.zeros(classes, source_classes, dtype=torch.float64)
        self.confusion = torch.zeros(classes, source_classes, dtype=torch.float64)

    def add(self, probabilities: Tensor, labels: Tensor) -> None:
        """Adds pixels.

        Args:
            probabilities: (N, source_classes), θ.
            labels: (N,) int64 target class ids, none of them ignored.
        """
        self.joint.index_add_(0, labels, probabilities.double())
        ones = torch.ones(len(labels), dtype=torch.float64)
        self.confusion.index_put_((labels, probabilities.argmax(1)), ones, accumulate=True)

    def nce(self) -> float:
        """Returns the negative conditional entropy −H(Y|Z) in nats, Z the most probable source class; 0 is the best."""
        joint = self.confusion / self.confusion.sum()
        return float(torch.special.xlogy(joint, _given_source(self.confusion)).sum())

    def log_likelihood(self, probabilities: Tensor, labels: Tensor) -> Tensor:
        """Returns Σ log Σ_z P(y|z) θ_z over pixels, of no dimension; LEEP is its mean over those that were added.

        Args:
            probabilities: (N, source_classes), θ.
            labels: (N,) int64 target class ids.
        """
        likelihood = (_given_source(self.joint)[labels] * probabilities.double()).sum(1)
        return likelihood.clamp_min(torch.finfo(torch.float64).tiny).log().sum()


def _given_source(joint: Tensor) -> Tensor:
    """Returns P(y|z); a source class that is never seen takes part in nothing."""
    seen = joint.sum(0)
    return joint / seen.where(seen > 0, 1)

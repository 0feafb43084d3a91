"""Gradient reversal: what lies behind it learns one thing, what lies before it the opposite."""

from typing import Protocol

import torch
from torch import Tensor


class _Context(Protocol):
    scale: float


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, features: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return features.view_as(features)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradient, None


def reverse_gradient(features: Tensor, scale: float = 1.0) -> Tensor:
    """Returns the features unchanged and, backwards, their gradient times −scale.

    Reference: Ganin and Lempitsky, Unsupervised Domain Adaptation by Backpropagation, ICML 2015,
    https://arxiv.org/abs/1409.7495.

    Args:
        features: of any shape.
        scale: strength of the reversal, ≥ 0.

    Returns:
        The same values, of the same shape.
    """
    reversed_features: Tensor = _Reverse.apply(features, scale)
    return reversed_features

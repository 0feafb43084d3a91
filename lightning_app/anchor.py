"""The one backward that Lightning and DDP see, after every term has been back-propagated on its own."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn


class _Context(Protocol):
    parameters: int


class _Anchor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, loss: Tensor, *parameters: Tensor) -> Tensor:
        ctx.parameters = len(parameters)
        return loss.clone()

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor) -> tuple[None, ...]:
        return (None,) * (1 + ctx.parameters)


def anchor(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """Ties a loss whose gradients are already in ``.grad`` to parameters, without computing anything.

    Back-propagating the result reaches every parameter with an undefined gradient. That fires the hooks by which DDP
    learns that a parameter is ready, and so reduces what ``.grad`` holds: also for parameters that no term reached.

    Args:
        loss: () detached value of the loss, what Lightning shows.
        parameters: the trainable parameters.

    Returns:
        () the same value, with a graph that leads to the parameters.
    """
    result: Tensor = _Anchor.apply(loss, *parameters)
    return result

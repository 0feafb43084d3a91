"""SGD for the network and Adam for its adversary, as one optimizer."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adam import adam
from torch.optim.sgd import sgd


class SGDAndAdam(Optimizer):
    """SGD with momentum, and Adam for the groups of parameters that bring ``betas``: a discriminator's.

    AdaptSegNet and ADVENT train so. At Adam's learning rates SGD leaves a discriminator where it is.

    Args:
        params: parameters, or groups of them. Groups may bring ``lr``, ``weight_decay`` and, for Adam, ``betas``.
        lr: the learning rate, ≥ 0.
        momentum: SGD's, ≥ 0.
        weight_decay: strength of the decay, ≥ 0; added to the gradient, as both do.

    Raises:
        ValueError: if a number is negative.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        for name, value in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            if value < 0:
                raise ValueError(f"SGDAndAdam.{name} is {value}; give 0 or a positive number.")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch has two overloads
        """Steps all groups, each by its rule.

        Args:
            closure: computes the loss anew.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if "betas" in group:
                self._step_adam(moved, group)
            else:
                self._step_sgd(moved, group)
        return loss

    def _step_sgd(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        buffers: list[Tensor | None] = [self.state[parameter].get("momentum_buffer") for parameter in parameters]
        sgd(
            parameters,
            _gradients(parameters),
            buffers,
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=0,
            nesterov=False,
            maximize=False,
        )
        if group["momentum"]:
            for parameter, buffer in zip(parameters, buffers, strict=True):
                self.state[parameter]["momentum_buffer"] = buffer

    def _step_adam(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        states = [self.state[parameter] for parameter in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if not state:
                # On the CPU, as in torch's own: a count on the device would have to be waited for.
                state["step"] = torch.tensor(0.0)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        adam(
            parameters,
            _gradients(parameters),
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]

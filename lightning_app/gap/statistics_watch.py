"""What the BatchNorm layers of a network are given."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from strategies.components.batch_statistics import batch_norms

_MOST_CELLS = 48
"""In each direction of a map."""


class StatisticsWatch:
    """Notes the mean and the mean square of each channel before each BatchNorm layer, image by image.

    Of maps of more than 48 × 48 cells, these are those of cells at even distances. The layers normalise by their own
    statistics, as in inference: what is noted is what they meet there.

    Args:
        network: in eval mode.

    Attributes:
        layers: (name, channels, ε) of the layers that the last image reached, in their order.
    """

    def __init__(self, network: nn.Module) -> None:
        self._layers = batch_norms(network)
        self._seen: dict[str, Tensor] = {}
        self.layers: list[tuple[str, int, float]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Notes what passes until the context ends."""
        hooks = [
            layer.register_forward_pre_hook(lambda _, inputs, name=name: self._note(name, inputs[0]))
            for name, layer in self._layers.items()
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def take(self) -> Tensor | None:
        """Returns the mean and the mean square of every channel of the last image, (2, channels), or None."""
        seen, self._seen = self._seen, {}
        reached = [name for name in self._layers if name in seen]
        self.layers = [(name, seen[name].shape[1], self._layers[name].eps) for name in reached]
        return torch.cat([seen[name] for name in reached], dim=1) if reached else None

    def _note(self, name: str, values: Tensor) -> None:
        # Of a large map cells at even distances: to count them all takes as long as the network.
        steps = [math.ceil(side / _MOST_CELLS) for side in values.shape[2:]]
        values = values[(slice(None), slice(None), *(slice(None, None, step) for step in steps))]
        # Not torch.var_mean, which takes ten times as long on what lies in memory channels last.
        cells = values.float().movedim(1, -1).flatten(0, -2)
        mean = cells.mean(dim=0)
        variance = (cells - mean).square().mean(dim=0)
        self._seen[name] = torch.stack([mean, variance + mean.square()])

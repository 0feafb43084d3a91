"""A second set of BatchNorm for a network: another domain's statistics, scales and shifts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

from torch import Tensor, nn

from strategies.base import Network
from strategies.components.batch_statistics import batch_norms

Affine = Literal["shared", "separate"]


class DomainNorms(nn.Module):
    """What the BatchNorm layers of a network hold for another domain.

    The tensors change places with the layers' own for the time of a forward. The layers themselves stay, and with
    them their mode, whether they stand still and how ranks synchronise them. Shared scales and shifts are held by the
    network alone.

    Reference: Chang et al., Domain-specific batch normalization, CVPR 2019, https://arxiv.org/abs/1906.03950

    Args:
        network: the network, whose layers' tensors are copied to start from.
        affine: whether scales and shifts are ``separate`` or ``shared`` with the network.
    """

    def __init__(self, network: Network, affine: Affine) -> None:
        super().__init__()
        layers = batch_norms(network)
        self.affine: Affine = affine
        self.names = list(layers)
        self.sets = nn.ModuleList()
        for layer in layers.values():
            held = nn.Module()
            for name, buffer in layer.named_buffers(recurse=False):
                held.register_buffer(name, buffer.clone())
            if affine == "separate":
                for name, parameter in layer.named_parameters(recurse=False):
                    copy = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
                    held.register_parameter(name, copy)
            self.sets.append(held)

    @contextmanager
    def swapped_into(self, network: Network | nn.Module) -> Iterator[None]:
        """Puts this set in the place of the network's own until the context ends.

        Args:
            network: the network that it was made for, or a copy.
        """
        pairs = list(self._pairs(network))
        _swap(pairs)
        try:
            yield
        finally:
            _swap(pairs)

    def applied_to(self, network: nn.Module) -> nn.Module:
        """Returns a network that is the given one with this set, at every forward; it holds no copy of either."""
        return _Applied(network, self)

    def counterparts(self, network: Network) -> dict[nn.Parameter, nn.Parameter]:
        """Returns this set's parameter for each of the network's that has one; none where they are shared."""
        return {
            parameter: cast(nn.Parameter, getattr(held, name))
            for layer, held in self._pairs(network)
            for name, parameter in layer.named_parameters(recurse=False)
            if name in held._parameters
        }

    def _pairs(self, network: Network | nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
        for name, held in zip(self.names, self.sets, strict=True):
            yield network.get_submodule(name), held


def _swap(pairs: list[tuple[nn.Module, nn.Module]]) -> None:
    # As quick as it gets: a network has hundreds of these tensors.
    for layer, held in pairs:
        for name in held._parameters:
            held._parameters[name], layer._parameters[name] = layer._parameters[name], held._parameters[name]
        for name in held._buffers:
            held._buffers[name], layer._buffers[name] = layer._buffers[name], held._buffers[name]


class _Applied(nn.Module):
    def __init__(self, network: nn.Module, norms: DomainNorms) -> None:
        super().__init__()
        self.network = network
        self.norms = norms

    def forward(self, image: Tensor) -> Tensor:
        with self.norms.swapped_into(self.network):
            logits: Tensor = self.network(image)
        return logits

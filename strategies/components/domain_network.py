"""A network that treats one domain's images in a way of their own."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from weakref import ref

import torch
from torch import Tensor

from strategies.base import Network
from strategies.components.domain_norms import DomainNorms


class DomainNetwork:
    """Stands for a network in the terms of a step, and lets the source's images pass through norms of their own.

    A batch of source images is known by being the very tensor that the step's batch holds, and its maps by being the
    very tensors that ``features`` returned. All else, changed source images and changed maps too, passes through the
    network as it is, and so does whatever else is asked of it.

    Args:
        network: the network.
        norms: the source's.
        source: (B, C, H, W) the step's source images.

    Attributes:
        met_source: whether the source's images have passed the encoder.
        met_others: whether other images have.
        decoded_others: whether they have passed the decoder, so that its norms learned of them.
    """

    def __init__(self, network: Network, norms: DomainNorms, source: Tensor) -> None:
        self.met_source = self.met_others = self.decoded_others = False
        self._network = network
        self._norms = norms
        self._source = source
        # Weak, so that maps are freed when the term that needs them has been back-propagated.
        self._maps: list[ref[Tensor]] = []

    def __call__(self, image: Tensor) -> Tensor:
        """Computes the logits of every pixel."""
        of_source = self._meet(image)
        self._decode(of_source)
        with self._norms_for(of_source):
            return self._network(image)

    def features(self, image: Tensor) -> list[Tensor]:
        """Computes the encoder's maps."""
        of_source = self._meet(image)
        with self._norms_for(of_source):
            maps = self._network.features(image)
        if of_source:
            self._maps += [ref(one) for one in maps]
        return maps

    def decode(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Computes the logits from the encoder's maps."""
        of_source = any(known() is one for known in self._maps for one in features)
        self._decode(of_source)
        with self._norms_for(of_source):
            return self._network.decode(features, size)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the network has
        """Asks the network."""
        return getattr(self._network, name)

    def _meet(self, image: Tensor) -> bool:
        of_source = image is self._source
        self.met_source |= of_source
        self.met_others |= not of_source
        return of_source

    def _decode(self, of_source: bool) -> None:
        # Scales and shifts learn by gradients alone.
        self.decoded_others |= not of_source and (torch.is_grad_enabled() or self._norms.affine == "shared")

    def _norms_for(self, source: bool) -> AbstractContextManager[None]:
        return self._norms.swapped_into(self._network) if source else nullcontext()

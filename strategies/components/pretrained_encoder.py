"""The encoder as its pretrained weights left it."""

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from strategies.base import Network


class PretrainedEncoder(nn.Module):
    """A frozen copy of a network's encoder, with its normalisation of images, that answers in eval mode.

    Args:
        network: what is copied, but for its decoder and head.

    Attributes:
        network: the copy. Its parameters require no gradients: buffers would be sent around by DDP.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = deepcopy(cast(nn.Module, network)).requires_grad_(False)
        self.network.decoder = nn.Identity()
        self.network.segmentation_head = nn.Identity()

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Returns the deepest map.

        Args:
            image: (B, C, H, W) float in [0, 1].

        Returns:
            (B, D, h, w), without a graph.
        """
        # Here, since what holds it enters training mode as a whole: the statistics are those of the weights.
        self.network.eval()
        return cast(Network, self.network).features(image)[-1]

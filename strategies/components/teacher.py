"""A mean teacher: the moving average of the network that learns."""

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from strategies.base import Network


class Teacher(nn.Module):
    """A frozen copy of a network that follows it slowly.

    Reference: Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017,
    https://arxiv.org/abs/1703.01780. The floating-point buffers are averaged like the parameters, and integers are
    copied. ``torch.optim.swa_utils.AveragedModel`` could not be an inference network: it keeps a counter of its own
    in the state, and starts from an equal mean. Under true half precision (``bf16-true``) the small share of an update
    is lost in rounding, and the teacher stands still after the first ones.

    Args:
        network: what is copied.
        momentum: the largest share of itself that the teacher keeps in an update, in [0, 1].
        dropout: whether its dropout and stochastic depth are as active as the network's; else they are off.

    Attributes:
        network: the copy. Its parameters require no gradients: buffers would be sent around by DDP.
    """

    def __init__(self, network: Network, momentum: float, dropout: bool = True) -> None:
        super().__init__()
        self.network = deepcopy(cast(nn.Module, network)).requires_grad_(False)
        self.momentum = momentum
        self.dropout = dropout

    @torch.no_grad()
    def update(self, network: Network, updates: int) -> None:
        """Moves towards the network: m · teacher + (1 − m) · network with m = min(1 − 1 / (updates + 1), momentum).

        Args:
            network: the network, after an optimizer step.
            updates: the updates before this one; with 0 the network is copied.
        """
        kept = min(1 - 1 / (updates + 1), self.momentum)
        ours, theirs = self.network.state_dict(), cast(nn.Module, network).state_dict()
        moving = [name for name, value in ours.items() if value.is_floating_point()]
        torch._foreach_lerp_([ours[name] for name in moving], [theirs[name] for name in moving], 1 - kept)
        for name in ours.keys() - set(moving):
            ours[name].copy_(theirs[name])

    @torch.no_grad()
    def logits(self, network: Network, image: Tensor) -> Tensor:
        """Returns the teacher's answer, its layers in the modes of the network's.

        Normalisation by the batch where the network does so moves the teacher's own statistics too. It sees target
        images alone, so they come to be the target's, but for what ``update`` adds of the network's: a tenth at a
        momentum of 0.99 and BatchNorm's usual 0.1.

        Args:
            network: the network that learns.
            image: (B, C, H, W) float in [0, 1].

        Returns:
            (B, classes, H, W), without a graph.
        """
        for own, other in zip(self.network.modules(), cast(nn.Module, network).modules(), strict=True):
            # Not by the layers' classes: some encoders drop branches in the code of a block.
            own.training = other.training and (self.dropout or isinstance(own, _NormBase))
        answer: Tensor = self.network(image)
        return answer

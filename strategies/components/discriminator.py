"""Discriminators: fully convolutional, without normalisation layers, one answer a place."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

SOURCE, TARGET = 0.0, 1.0
"""The labels of the domains."""

WIDTHS = (64, 128, 256, 512)
"""Channels of the hidden layers of a discriminator of outputs."""

DomainLoss = Literal["vanilla", "least_squares"]
"""How answers are judged: by binary cross-entropy, or by the squared distance to the label (LS-GAN)."""


class OutputDiscriminator(nn.Module):
    """Tells from maps of image size which domain they are of: five 4 × 4 convolutions of stride 2, leaky ReLU 0.2.

    Maps (B, C, H, W) to (B, 1, H / 32, W / 32) answers, low for the source and high for the target.

    Reference: Tsai et al., AdaptSegNet, CVPR 2018, https://arxiv.org/abs/1802.10349.

    Args:
        channels: channels of the maps, such as the number of classes.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise([channels, *WIDTHS]):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(WIDTHS[-1], 1, 4, stride=2, padding=1))

    def forward(self, maps: Tensor) -> Tensor:
        """Returns one answer a place.

        Raises:
            ValueError: if the maps are smaller than one place.
        """
        if min(maps.shape[-2:]) < 32:  # five halvings
            raise ValueError(
                f"The discriminator needs maps of at least 32 × 32 pixels and got {maps.shape[-2]} × {maps.shape[-1]}: "
                "set data.crop to 32 or more."
            )
        answers: Tensor = self.layers(maps)
        return answers


class FeatureDiscriminator(nn.Sequential):
    """Tells from feature maps which domain they are of: three 3 × 3 convolutions, leaky ReLU 0.2.

    Maps (B, C, h, w) to (B, 1, h, w) answers, low for the source and high for the target.

    Args:
        channels: channels of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, 256, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(256, 128, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(128, 1, 3, padding=1),
        )


def judge(discriminator: nn.Module, maps: Tensor, *, still: bool = False) -> Tensor:
    """Asks a discriminator which domain maps are of.

    Args:
        discriminator: the discriminator.
        maps: (B, C, H, W), in any floating type.
        still: whether its parameters are detached, so that the network's term gives it no gradient.

    Returns:
        (B, 1, h, w) answers.
    """
    # Under true half precision the parameters are not float32 as the maps are; autocast does without.
    maps = maps.to(next(discriminator.parameters()).dtype)
    answers: Tensor
    if still:
        answers = functional_call(discriminator, {n: p.detach() for n, p in discriminator.named_parameters()}, (maps,))
    else:
        answers = discriminator(maps)
    return answers


def domain_loss(answers: Tensor, domain: float, loss: DomainLoss) -> Tensor:
    """Judges a discriminator's answers, averaged over the places, in float32.

    Args:
        answers: (B, 1, h, w).
        domain: the label that they should be, ``SOURCE`` or ``TARGET``.
        loss: by which measure.

    Returns:
        () float32.
    """
    labels = torch.full_like(answers, domain, dtype=torch.float32)
    if loss == "vanilla":
        return functional.binary_cross_entropy_with_logits(answers.float(), labels)
    return functional.mse_loss(answers.float(), labels)


def domain_accuracy(answers: Tensor, domain: float, loss: DomainLoss) -> Tensor:
    """Returns the share of places whose answer is on the side of the domain, a detached () float32 in [0, 1]."""
    middle = 0.0 if loss == "vanilla" else 0.5
    return ((answers.detach() > middle) == (domain == TARGET)).float().mean()

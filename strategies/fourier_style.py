"""Training on source images in the style of the target, under any other strategy (FDA)."""

import torch

from datamodules.batch import Batch
from strategies.base import Losses, Network, Step, Strategy
from strategies.components.entropy import robust_entropy
from strategies.components.fourier import fourier_style
from strategies.source_only import SourceOnly
from strategies.wrapper import Wrapper


class FourierStyle(Wrapper):
    """Shows its base the source in the low-frequency style of the target, and minimises the target's entropy (FDA).

    Source image i takes the amplitudes of target image i of the batch in the square of the lowest frequencies, from
    −b to b with b = ⌊beta · min(H, W)⌋, and keeps its own phases, channel by channel (see ``fourier_style``). Added to
    the base's terms: entropy_weight · mean over target pixels of (H² + 1e-8)², H = −Σ p log p / log C.

    A crop whose shorter side is below 1 / beta pixels has b = 0: only the means of the channels are exchanged. Small
    crops want a larger beta for more. Larger ones also pull in the target's coarse shapes, as bright and dark patches.

    The base sees the styled source wherever it reads the source, and the target as it is: over ``ClassMix`` the pasted
    classes have the style of the very image that they are pasted into. The network never learns from the source's own
    look, so that scores on the source may fall while those on the target rise.

    Reference: Yang and Soatto, FDA, CVPR 2020, https://arxiv.org/abs/2004.05498
    Costs: its base's, one more forward and backward on the target images (none with entropy_weight 0), and three
    Fourier transforms
    Differs from the paper: styled images are clipped to [0, 1]; the entropy is that of the logits at image size, where
    the authors' code takes it before they are enlarged. Its average of networks of several beta is
    ``model.averaged_with``.

    Args:
        base: how the network learns from the styled images; ``SourceOnly`` if None.
        beta: half the width of the square as a share of the shorter side, in (0, 0.5]; the paper has 0.01, 0.05, 0.09.
        entropy_weight: factor of the entropy on the target, ≥ 0; 0 leaves out the pass that it takes.

    Raises:
        ValueError: if a number is out of range, or the base has no use for source images.
    """

    required_streams = ("target",)

    def __init__(self, base: Strategy | None = None, beta: float = 0.01, entropy_weight: float = 0.005) -> None:
        super().__init__(base or SourceOnly())
        if "source" not in self.required_streams:
            raise ValueError(f"FourierStyle changes source images, but its base {self.base.name} does not need them.")
        if not 0 < beta <= 0.5:
            raise ValueError(f"FourierStyle.beta is {beta}; it is a share in (0, 0.5], such as 0.01.")
        if entropy_weight < 0:
            raise ValueError(f"FourierStyle.entropy_weight is {entropy_weight}; give 0 or a positive number.")
        self.beta = beta
        self.entropy_weight = entropy_weight

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the terms of the base on the styled source, and the target's entropy.

        Raises:
            ValueError: if the crops of source and target differ in size.
        """
        source, target = batch["source"], batch["target"]["image"]
        if source["image"].shape[1:] != target.shape[1:]:
            raise ValueError(
                f"FourierStyle: the source's crops are {tuple(source['image'].shape[1:])}, the target's "
                f"{tuple(target.shape[1:])}, as (C, H, W). Their frequencies cannot be exchanged: make them alike."
            )
        # By place and not by chance: both streams are shuffled, each in its own way.
        partners = target[torch.arange(len(source["image"]), device=target.device) % len(target)]
        styled = fourier_style(source["image"], partners, self.beta)
        step.show("styled", styled, {"source": source["image"], "target": partners})
        yield from super().losses(network, {**batch, "source": {**source, "image": styled}}, step)
        if self.entropy_weight:
            yield {"robust_entropy": self.entropy_weight * robust_entropy(network(target))}

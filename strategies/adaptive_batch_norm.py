"""BatchNorm with the target's statistics: computed at the end, kept all along, or a set for each domain."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Literal, cast, get_args

import torch
from torch import nn

from datamodules.batch import Batch, DomainBatch, DomainName
from strategies.base import Losses, Network, ParameterGroup, Step, Strategy
from strategies.components.batch_statistics import batch_norms, recompute_statistics, statistics_held
from strategies.components.domain_network import DomainNetwork
from strategies.components.domain_norms import Affine, DomainNorms
from strategies.source_only import SourceOnly
from strategies.wrapper import Wrapper

Statistics = Literal["end", "along", "per_domain"]


class AdaptiveBatchNorm(Wrapper):
    """Gives BatchNorm the target's statistics, at the end or all along, or a set of layers to each domain (AdaBN).

    ``end`` counts them after the last step, over all pixels of all target training images, in the network that infers
    on the target, a mean teacher where the base has one: μ = mean of x, σ² = mean of (x − μ)². Weights stay. Each
    image is normalised by itself in every layer meanwhile, so that one pass does and neither order nor ranks matter.
    Frozen layers get the target's statistics too. Checkpoints from before the end have those of training.
    A wrapper around this one that infers by a teacher of its own, such as ``MaskedConsistency`` over ``SourceOnly``,
    would not be adapted: this one goes around it.

    ``along`` lets only target images move the running statistics: after the base's terms of each step they pass once
    more, without gradients. Validation on the way and the best checkpoint have the target's statistics too. Layers
    that a base freezes keep theirs, by which they normalise in training as well. Let it be the outermost
    wrapper: what another one sends through the network moves the statistics.

    ``per_domain`` trains two sets of BatchNorm, one that source images pass through and one for all others: target,
    labelled target and mixed images. The second is the network's own, which is what a checkpoint hands on; the first is
    for validation on the source. A base whose teacher infers has it do so on both domains. Source images must reach
    the network as the batch has them: what changes them, such as ``FourierStyle``, goes around this wrapper.
    With Adam, whose steps do not depend on how large a loss is, separate scales and shifts of the target move as fast
    as the source's, however small the weight of the base's target terms: let them be ``shared`` where those are weak.

    Scores on the source are measured with the target's statistics but in ``per_domain``.

    Reference: Li et al., AdaBN, Pattern Recognition 2018, https://arxiv.org/abs/1603.04779; Chang et al.,
    Domain-specific batch normalization, CVPR 2019, https://arxiv.org/abs/1906.03950
    Costs: its base's, and after the last step a forward of each target training image; ``along`` one more forward a
    step, on the target images; ``per_domain`` nothing else
    Differs from the papers: AdaBN normalises by the target's statistics in the layers before as well, for which it
    would need a pass a layer; domain-specific BatchNorm is trained under any base, not by its two stages of
    self-training.

    Args:
        base: how the network learns; ``SourceOnly`` if None.
        statistics: ``end``, ``along`` or ``per_domain``.
        affine: in ``per_domain`` whether scales and shifts are ``separate``, as in the paper, or ``shared``; None is
            ``separate``.
        images: in ``end`` how many target images each rank counts at most, ≥ 1; windows where ``model.windows`` cuts
            them; None is all.

    Raises:
        ValueError: if an argument is out of range or does not go with ``statistics``, if the base gives the target's
            set nothing to learn from, or if the network has no BatchNorm.
    """

    def __init__(
        self,
        base: Strategy | None = None,
        statistics: Statistics = "end",
        affine: Affine | None = None,
        images: int | None = None,
    ) -> None:
        super().__init__(base or SourceOnly())
        owner = type(self).__name__
        if statistics not in get_args(Statistics):
            raise ValueError(f"{owner}.statistics is {statistics!r}; it is {' or '.join(get_args(Statistics))}.")
        if affine is not None and (statistics != "per_domain" or affine not in get_args(Affine)):
            raise ValueError(
                f"{owner}.affine is {affine!r} with statistics {statistics}; it is {' or '.join(get_args(Affine))}, "
                "with statistics per_domain only."
            )
        if images is not None and (statistics != "end" or images < 1):
            raise ValueError(
                f"{owner}.images is {images} with statistics {statistics}; it is at least 1, with statistics end only."
            )
        if any(isinstance(one, AdaptiveBatchNorm) for one in self.within()):
            raise ValueError(f"{self.name} adapts BatchNorm twice: one of the two is enough.")
        self.statistics = statistics
        self.affine: Affine = affine or "separate"
        self.images = images
        if statistics == "end" and self.refresh_every is None:
            self.refresh_every = 0
        if statistics == "along":
            self.required_streams = tuple(dict.fromkeys((*self.required_streams, "target")))
        if statistics == "per_domain":
            read = set(self.required_streams)
            if "source" not in read or not read & {"target", "labelled_target"}:
                raise ValueError(
                    f"{self.name} trains a set of BatchNorm on source images and one on target images, but the base "
                    f"requires only {', '.join(sorted(read))}. Give it a base that learns from both, such as "
                    "EntropyMinimization, or choose statistics end or along."
                )

    def build(self, network: Network, classes: Sequence[str]) -> None:
        """Builds the base, and in ``per_domain`` the source's set."""
        super().build(network, classes)
        if not batch_norms(network):
            raise ValueError(
                f"{self.name}: the network has no BatchNorm layer that keeps statistics, so there is nothing to adapt. "
                "Choose another architecture or encoder, or another strategy."
            )
        if self.statistics == "per_domain":
            self.source_norms = DomainNorms(network, self.affine)

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the terms of the base, and sees to the statistics.

        Raises:
            ValueError: in ``per_domain``, if the base leaves one of the sets without images.
        """
        if self.statistics == "per_domain":
            aware = DomainNetwork(network, self.source_norms, batch["source"]["image"])
            yield from super().losses(cast(Network, aware), batch, step)
            self._check(aware, network)
        elif self.statistics == "along":
            with statistics_held(network):
                yield from super().losses(network, batch, step)
            with torch.no_grad():
                network(batch["target"]["image"])
        else:
            yield from super().losses(network, batch, step)

    def _check(self, aware: DomainNetwork, network: Network) -> None:
        if not aware.met_source:
            raise ValueError(
                f"{self.name}: the source's images did not reach the network as the batch has them, so the source's "
                "BatchNorm learned nothing. What changes them goes around this wrapper: "
                "FourierStyle(AdaptiveBatchNorm(…)), not AdaptiveBatchNorm(FourierStyle(…))."
            )
        if aware.met_others and not aware.decoded_others and batch_norms(network.decoder):
            raise ValueError(
                f"{self.name}: the target's terms reached the encoder alone, so the decoder's BatchNorm for the target "
                "learned nothing. Choose a base that decodes them, such as AdversarialAlignment with level output, or "
                "statistics end or along."
            )

    def parameter_groups(self, network: Network) -> list[ParameterGroup]:
        """Returns the groups of the base, the source's scales and shifts beside the network's own."""
        groups = self.base.parameter_groups(network)
        if self.statistics == "per_domain":
            twins = self.source_norms.counterparts(network)
            for group in groups:
                group["params"] = [*group["params"], *(twins[one] for one in group["params"] if one in twins)]
        return groups

    def refresh(self, network: Network, target_batches: Iterable[DomainBatch], step: Step) -> None:
        """Refreshes the base, and at ``end`` counts the statistics behind the last step."""
        super().refresh(network, target_batches, step)
        if self.statistics == "end" and step.index == step.total:
            inferring = self.base.inference_network(cast(nn.Module, network), "target")
            recompute_statistics(inferring, (batch["image"] for batch in islice(target_batches, self.images)))

    def inference_network(self, network: nn.Module, domain: DomainName) -> nn.Module:
        """Returns the base's choice; where that is the network, with the source's set for the source."""
        chosen = super().inference_network(network, domain)
        if self.statistics == "per_domain" and domain == "source" and chosen is network:
            return self.source_norms.applied_to(network)
        return chosen

"""Training on the source while the target is made to look like it to a discriminator."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.nn import functional

from datamodules.batch import Batch, DomainBatch
from strategies.base import Losses, Network, ParameterGroup, Step, Strategy
from strategies.components.criteria import Criterion, CrossEntropy
from strategies.components.discriminator import (
    SOURCE,
    TARGET,
    DomainLoss,
    FeatureDiscriminator,
    OutputDiscriminator,
    domain_accuracy,
    domain_loss,
    judge,
)
from strategies.components.discriminator_watch import DiscriminatorWatch
from strategies.components.entropy import self_information
from strategies.components.freezing import pick_stage
from strategies.components.gradient_reversal import reverse_gradient
from strategies.components.supervision import labelled_target_terms

Level = Literal["features", "output", "entropy"]
Objective = Literal["non_saturating", "gradient_reversal"]

WATCH_EVERY = 100
"""Optimizer steps between two looks at how the discriminators did."""


class AdversarialAlignment(Strategy):
    """Aligns features, softmax or entropy maps: a discriminator shall not tell target from source.

    With D's labels source = 0 and target = 1, and ℓ its loss, D learns from ½ ℓ(D(source), 0) + ½ ℓ(D(target), 1), and
    the network from CE(source) plus, for ``non_saturating``, weight · ℓ(D(target), 0) through a D that stands still
    (AdaptSegNet, ADVENT); for ``gradient_reversal`` D's own loss with the opposite sign, times weight and times
    2 / (1 + e^(−10 · progress)) − 1 (DANN). All gradients are taken at the same weights and one optimizer steps, which
    gives the gradients of the papers' two optimizers.

    Source and target pass through the network one after the other: each is normalised by its own batch, and BatchNorm's
    running statistics, which evaluation uses, become a mix of both; at level ``features`` those of the encoder, since
    the target is not decoded.

    Reference: Tsai et al., AdaptSegNet, CVPR 2018, https://arxiv.org/abs/1802.10349 (output); Vu et al., ADVENT,
    CVPR 2019, https://arxiv.org/abs/1811.12833 (entropy); Ganin et al., DANN, JMLR 2016,
    https://arxiv.org/abs/1505.07818 (features)
    Costs: one more forward and backward, on the target images, and the discriminator's
    Differs from the papers: the discriminator has the class of the optimizer that the network has, which is the papers'
    Adam beside SGD with ``lightning_app.sgd_and_adam.SGDAndAdam``; under plain SGD it learns next to nothing. The
    auxiliary head is one 3 × 3 convolution; DANN's discriminator is convolutional, its learning rate does not depend on
    ``weight``, whose default of 0.01 is ours, and each place's features are normalised over the channels before it.
    Target labels are learned from where they were given.

    Args:
        level: which maps are aligned: the encoder's ``features``, softmax ``output`` or ``entropy`` maps.
        objective: how the network is taught; by default ``gradient_reversal`` for features, else ``non_saturating``.
        loss: the discriminator's, ``vanilla`` (binary cross-entropy) or ``least_squares``.
        weight: factor of the network's adversarial term, ≥ 0. By default the papers' 0.001 for output and entropy and
            0.01 for output by least squares; for features 0.01, which is our choice.
        stages: the encoder's stages whose features are aligned, each by a discriminator of its own; negative numbers
            count from the deepest.
        auxiliary_stage: for output and entropy, the encoder's stage that gets a segmentation head of its own whose
            maps are aligned too (multi-level; the papers' is −2); None for a single level.
        auxiliary_weight: factor of the auxiliary head's loss on the source, ≥ 0; the papers' 0.1.
        auxiliary_adversarial_weight: factor of its adversarial term, ≥ 0; by default ``weight`` / 5, as in the papers.
        discriminator_lr: the discriminator's learning rate, > 0, on the network's schedule.
        discriminator_betas: its Adam betas.
        criterion: loss on the masks; cross-entropy if None.

    Raises:
        ValueError: if a number is out of range, or an option does not go with the level.
    """

    required_streams = ("source", "target")
    optional_streams = ("labelled_target",)

    watch: DiscriminatorWatch

    def __init__(
        self,
        level: Level = "output",
        objective: Objective | None = None,
        loss: DomainLoss = "vanilla",
        weight: float | None = None,
        stages: Sequence[int] = (-1,),
        auxiliary_stage: int | None = None,
        auxiliary_weight: float = 0.1,
        auxiliary_adversarial_weight: float | None = None,
        discriminator_lr: float = 1e-4,
        discriminator_betas: tuple[float, float] = (0.9, 0.99),
        criterion: Criterion | None = None,
    ) -> None:
        super().__init__()
        for argument, choice, choices in (
            ("level", level, get_args(Level)),
            ("objective", objective, (*get_args(Objective), None)),
            ("loss", loss, get_args(DomainLoss)),
        ):
            if choice not in choices:
                raise ValueError(f"AdversarialAlignment.{argument} is {choice!r}; it is one of {choices}.")
        if weight is None:
            weight = 0.001 if level == "entropy" or (level == "output" and loss == "vanilla") else 0.01
        if auxiliary_adversarial_weight is None:
            auxiliary_adversarial_weight = weight / 5
        for argument, value in (
            ("weight", weight),
            ("auxiliary_weight", auxiliary_weight),
            ("auxiliary_adversarial_weight", auxiliary_adversarial_weight),
        ):
            if value < 0:
                raise ValueError(f"AdversarialAlignment.{argument} is {value}; give 0 or a positive number.")
        if discriminator_lr <= 0:
            raise ValueError(f"AdversarialAlignment.discriminator_lr is {discriminator_lr}; give a positive number.")
        if level == "features" and auxiliary_stage is not None:
            raise ValueError(
                "AdversarialAlignment.auxiliary_stage is for the levels output and entropy; for several levels of "
                "features name several stages."
            )
        if not stages or (level != "features" and list(stages) != [-1]):
            raise ValueError(
                f"AdversarialAlignment.stages is {list(stages)} at level {level}; they are for the level features, at "
                "least one."
            )
        self.level = level
        self.objective = objective or ("gradient_reversal" if level == "features" else "non_saturating")
        self.loss: DomainLoss = loss
        self.stages = list(stages)
        self.auxiliary_stage = auxiliary_stage
        self.auxiliary_weight = auxiliary_weight
        if level == "features":
            self.weights = [weight] * len(self.stages)
        else:
            self.weights = [weight] if auxiliary_stage is None else [weight, auxiliary_adversarial_weight]
        self.discriminator_lr = discriminator_lr
        self.discriminator_betas = discriminator_betas
        self.criterion = criterion or CrossEntropy()
        self.auxiliary_head: nn.Module | None = None
        self.discriminators = nn.ModuleList()
        self._maps: list[int] = []

    def build(self, network: Network, classes: Sequence[str]) -> None:
        """Makes a discriminator for each kind of map, and the auxiliary head."""
        if self.level == "features":
            stages = network.stages()
            for number in self.stages:
                stage = pick_stage(stages, number, "AdversarialAlignment.stages")
                self._maps.append(stage.map)
                self.discriminators.append(FeatureDiscriminator(stage.channels))
            self.watch = DiscriminatorWatch([f"encoder.{number % len(stages)}" for number in self.stages])
            return
        names: list[str] = [self.level]
        if self.auxiliary_stage is not None:
            argument = "AdversarialAlignment.auxiliary_stage"
            stage = pick_stage(network.stages(), self.auxiliary_stage, argument)
            self._maps = [stage.map]
            self.auxiliary_head = nn.Conv2d(stage.channels, len(classes), 3, padding=1)
            names.append(f"the auxiliary head's {self.level}")
        self.discriminators.extend(OutputDiscriminator(len(classes)) for _ in names)
        self.watch = DiscriminatorWatch(names)

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the loss on the source, the network's adversarial term and the discriminator's."""
        yield from labelled_target_terms(self.criterion, network, batch)
        if self.objective == "gradient_reversal":
            yield from self._reversed(network, batch, step)
        else:
            yield from self._non_saturating(network, batch, step)

    def _reversed(self, network: Network, batch: Batch, step: Step) -> Losses:
        ramp = 2 / (1 + math.exp(-10 * step.index / max(1, step.total))) - 1
        accuracies = []
        for domain, images in ((SOURCE, batch["source"]), (TARGET, batch["target"])):
            terms, maps = self._forward(network, images, step)
            # The network's share of the discriminator's own gradient is what it would get times −weight.
            maps = [reverse_gradient(one, ramp * weight) for one, weight in zip(maps, self.weights, strict=True)]
            own, accuracy = self._discriminate(maps, domain)
            accuracies.append(accuracy)
            yield {**terms, **own}
            del terms, maps, own
        self._tell(step, *accuracies)

    def _non_saturating(self, network: Network, batch: Batch, step: Step) -> Losses:
        terms, maps = self._forward(network, batch["source"], step)
        source_maps = [one.detach() for one in maps]
        del maps
        yield terms
        del terms
        _, maps = self._forward(network, batch["target"], step)
        target_maps = [one.detach() for one in maps]
        fooling = [
            weight * domain_loss(judge(discriminator, one, still=True), SOURCE, self.loss)
            for discriminator, one, weight in zip(self.discriminators, maps, self.weights, strict=True)
        ]
        del maps
        yield {"adversarial": torch.stack(fooling).sum()}
        del fooling
        own, of_source = self._discriminate(source_maps, SOURCE)
        yield own
        own, of_target = self._discriminate(target_maps, TARGET)
        yield own
        self._tell(step, of_source, of_target)

    def _forward(self, network: Network, images: DomainBatch, step: Step) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Returns the terms on the masks, where there are any, and the maps to be aligned."""
        size = (images["image"].shape[-2], images["image"].shape[-1])
        features = network.features(images["image"])
        labelled = "mask" in images
        if self.level == "features":
            maps = [_normalized(features[index]) for index in self._maps]
            # The target's logits would be for nothing.
            logits = [network.decode(features, size)] if labelled else []
        else:
            logits = [network.decode(features, size)]
            if self.auxiliary_head is not None:
                logits.append(network.to_image_size(self.auxiliary_head(features[self._maps[0]]), size))
            entropy = self.level == "entropy"
            maps = [self_information(one) if entropy else one.float().softmax(dim=1) for one in logits]
        if step.index == 0 and not labelled and not any(one.requires_grad for one in maps):
            rank_zero_warn(
                "AdversarialAlignment aligns nothing in this step: what its maps depend on is frozen, or held back "
                "until a later step."
            )
        terms: dict[str, Tensor] = {}
        if labelled:
            terms["segmentation"] = self.criterion(logits[0], images["mask"])
            if len(logits) > 1:
                terms["auxiliary_segmentation"] = self.auxiliary_weight * self.criterion(logits[1], images["mask"])
        return terms, maps

    def _discriminate(self, maps: list[Tensor], domain: float) -> tuple[dict[str, Tensor], Tensor]:
        """Returns the discriminators' own term on the maps of one domain, and the accuracy of each."""
        answers = [judge(one, given) for one, given in zip(self.discriminators, maps, strict=True)]
        name = "discriminator_source" if domain == SOURCE else "discriminator_target"
        term = torch.stack([domain_loss(one, domain, self.loss) for one in answers]).sum() / 2
        return {name: term}, torch.stack([domain_accuracy(one, domain, self.loss) for one in answers])

    def _tell(self, step: Step, of_source: Tensor, of_target: Tensor) -> None:
        self.watch.observe(of_source, of_target)
        step.log("discriminator_accuracy/source", of_source.mean())
        step.log("discriminator_accuracy/target", of_target.mean())

    def parameter_groups(self, network: Network) -> list[ParameterGroup]:
        """Gives the discriminators a learning rate and betas of their own, and no weight decay."""
        groups = super().parameter_groups(network)
        apart = {id(parameter) for parameter in self.discriminators.parameters()}
        for group in groups:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in apart]
        groups = [group for group in groups if group["params"]]
        groups.append(
            {
                "name": "discriminator",
                "params": list(self.discriminators.parameters()),
                "lr": self.discriminator_lr,
                "betas": self.discriminator_betas,
                "weight_decay": 0.0,
            }
        )
        return groups

    def after_step(self, network: Network, step: Step) -> None:
        """Says now and then in plain words when the discriminator cannot teach."""
        if (step.index + 1) % WATCH_EVERY == 0:
            self.watch.look()


def _normalized(features: Tensor) -> Tensor:
    # Else the scale of the features decides the discriminator's loss.
    return functional.layer_norm(features.float().movedim(1, -1), features.shape[1:2]).movedim(-1, 1)

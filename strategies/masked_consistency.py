"""Masked image consistency: what is hidden of a target image has to be told from what is left of it (MIC)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from datamodules.batch import Batch, DomainName
from strategies.adaptive_batch_norm import AdaptiveBatchNorm
from strategies.base import Losses, Network, Step, Strategy
from strategies.class_mix import ClassMix
from strategies.components.block_mask import block_mask
from strategies.components.pseudo_labels import (
    agreement,
    confident_labels,
    confident_share,
    log_pseudo_labels,
    pseudo_labels,
    weighted_cross_entropy,
)
from strategies.components.strong_augmentation import StrongAugmentation
from strategies.components.teacher import Teacher
from strategies.wrapper import Wrapper


class MaskedConsistency(Wrapper):
    """Trains as its base does, and on target images most of which is hidden, as a teacher labels the whole ones (MIC).

    Adds weight · mean over pixels of w · CE(student(hidden(strong(target))), ŷ), where ŷ is the class that the teacher
    finds likeliest on the unchanged image, w is the share of confident ones in the batch, and a hidden pixel is 0 to
    the encoder. A base that has a teacher lends it, and its pseudo-labels and their weights where it made them in the
    step. Over any other base the teacher is its own: after optimizer step i it becomes m · teacher + (1 − m) · student,
    m = min(1 − 1 / (i + 2), momentum), and validation, test and prediction use it.

    Reference: Hoyer et al., MIC, CVPR 2023, https://arxiv.org/abs/2212.01322
    Costs: its base's, one more forward and backward, on hidden target images, and the teacher's forward where the base
    made no pseudo-labels
    Differs from the paper: whether an image is jittered and how much it is blurred is drawn for it alone, where MIC
    draws once a batch; the teacher's buffers are averaged too, and it infers, where MIC's student does; in fog, rain
    and night the paper takes one source and one target image in place of two of the target, and leaves the colours
    alone.

    Args:
        base: how it learns otherwise; ``ClassMix`` if None.
        block: side of the blocks in pixels, from 1 to the smaller side of the crop. The paper takes a sixteenth of it:
            64 for crops of 1024, 32 for 512.
        ratio: chance that a block is hidden, in [0, 1).
        weight: factor of the loss on hidden images, ≥ 0.
        strong: how the colours are changed before; None is MIC's jitter and blur.
        momentum: the largest share of itself that a teacher of its own keeps in a step, in [0, 1).
        threshold: probability from which a pseudo-label counts as confident where the base made none, in [0, 1].

    Raises:
        ValueError: if a number is out of range, or a block larger than the crop.
    """

    required_streams = ("target",)

    def __init__(
        self,
        base: Strategy | None = None,
        block: int = 64,
        ratio: float = 0.7,
        weight: float = 1.0,
        strong: StrongAugmentation | None = None,
        momentum: float = 0.999,
        threshold: float = 0.968,
    ) -> None:
        super().__init__(base or ClassMix())
        if block < 1:
            raise ValueError(f"MaskedConsistency.block is {block}; it is a number of pixels, such as 64.")
        if not 0 <= ratio < 1:
            raise ValueError(f"MaskedConsistency.ratio is {ratio}; it is in [0, 1), such as 0.7.")
        if weight < 0:
            raise ValueError(f"MaskedConsistency.weight is {weight}; give 0 or a positive number.")
        if not 0 <= momentum < 1:
            raise ValueError(f"MaskedConsistency.momentum is {momentum}; it is in [0, 1), such as 0.999.")
        if not 0 <= threshold <= 1:
            raise ValueError(f"MaskedConsistency.threshold is {threshold}; it is a probability, such as 0.968.")
        self.block = block
        self.ratio = ratio
        self.weight = weight
        self.strong = strong or StrongAugmentation(jitter=0.2)
        self.momentum = momentum
        self.threshold = threshold
        self.own_teacher: Teacher | None = None

    def build(self, network: Network, classes: Sequence[str]) -> None:
        """Makes a teacher if the base has none.

        Raises:
            ValueError: if the base would adapt another network than that teacher in the end.
        """
        super().build(network, classes)
        self.classes = list(classes)
        if self.base.teacher is None:
            if any(isinstance(one, AdaptiveBatchNorm) and one.statistics == "end" for one in self.within()):
                raise ValueError(
                    f"{self.name}: at the end AdaptiveBatchNorm would adapt the network that learns, and not the "
                    "teacher that infers. Put it around: AdaptiveBatchNorm(MaskedConsistency(…))."
                )
            self.own_teacher = Teacher(network, self.momentum, dropout=False)

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the terms of the base, and the loss on hidden target images."""
        yield from super().losses(network, batch, step)
        image = batch["target"]["image"]
        labels, weights = self._pseudo_labels(network, image, step)
        hidden = block_mask(image, self.block, self.ratio)
        masked = torch.where(hidden, network.mean, self.strong(image))
        step.show("masked", masked, {"pseudo-label": labels, "weight": weights})
        logits = network(masked)
        yield {"masked_consistency": self.weight * weighted_cross_entropy(logits, labels, weights)}
        step.log("masked_consistency/agreement", agreement(logits, labels))

    def _pseudo_labels(self, network: Network, image: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """Returns (B, H, W) labels and what they count, of the teacher and the whole images."""
        if self.own_teacher is None and "pseudo_labels" in step.shared:
            return step.shared["pseudo_labels"], step.shared["pseudo_weights"]
        assert self.teacher is not None, "build made one"
        labels, confidence = pseudo_labels(self.teacher.logits(network, image))
        confident = confidence >= self.threshold
        # Of its own name: a base without a teacher, such as SelfTraining, may have told of its labels.
        log_pseudo_labels(step, labels, confident, self.classes, "masked_consistency")
        return labels, confident_share(confident)

    def after_step(self, network: Network, step: Step) -> None:
        """Tells the base, and moves a teacher of its own."""
        super().after_step(network, step)
        if self.own_teacher is not None:
            # Built as a copy of the network, it has had its update 0.
            self.own_teacher.update(network, step.index + 1)

    def pseudo_labels(self, probabilities: Tensor) -> Tensor:
        """Asks the base; for a teacher of its own, or a base without any, returns what reaches the threshold."""
        of_base = None if self.own_teacher is not None else super().pseudo_labels(probabilities)
        return confident_labels(probabilities, self.threshold) if of_base is None else of_base

    @property
    def teacher(self) -> Teacher | None:
        """Its own mean teacher, or the base's."""
        return self.own_teacher or super().teacher

    def inference_network(self, network: nn.Module, domain: DomainName) -> nn.Module:
        """Returns its own teacher, or the base's choice."""
        return super().inference_network(network, domain) if self.own_teacher is None else self.own_teacher.network

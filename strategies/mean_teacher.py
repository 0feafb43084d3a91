"""Training on the source while a moving average of the network labels the target."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from datamodules.batch import Batch, DomainName
from strategies.base import Losses, Network, Step, Strategy
from strategies.components.criteria import Criterion, CrossEntropy
from strategies.components.pseudo_labels import (
    agreement,
    confident_labels,
    confident_share,
    log_pseudo_labels,
    pseudo_labels,
    weighted_cross_entropy,
)
from strategies.components.strong_augmentation import StrongAugmentation
from strategies.components.supervision import labelled_target_terms
from strategies.components.teacher import Teacher

Weighting = Literal["share", "pixel"]


class StudentView(NamedTuple):
    """What the student is asked about.

    Attributes:
        image: (B, C, H, W) float in [0, 1].
        labels: (B, H, W) int64 class ids, 255 = ignore.
        weights: (B, H, W) float, what each pixel counts.
        of_target: (B, H, W) bool, the pixels whose labels are the teacher's.
    """

    image: Tensor
    labels: Tensor
    weights: Tensor
    of_target: Tensor


class MeanTeacher(Strategy):
    """Trains on the source, and on target images with colours changed as a moving average of the network labels them.

    Loss: CE(source) + weight · mean over pixels of w · CE(student(strong view), ŷ), where ŷ is the class that the
    teacher finds likeliest on the unchanged image. After each optimizer step i the teacher becomes
    m · teacher + (1 − m) · student, m = min(1 − 1 / (i + 1), momentum).

    The teacher normalises by its batch, as the student does, so that its running statistics become nearly the
    target's. Validation, test and prediction use the teacher.

    Reference: Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017,
    https://arxiv.org/abs/1703.01780; French et al., Self-ensembling, ICLR 2018, https://arxiv.org/abs/1706.05208
    Costs: one more forward and backward, on changed target images, and the teacher's forward
    Differs from the papers: cross-entropy on pseudo-labels with the weights and settings of DACS (see ``ClassMix``),
    where they take the squared difference of probabilities; buffers are averaged too.

    Args:
        momentum: the largest share of itself that the teacher keeps in a step, in [0, 1).
        threshold: probability from which a pseudo-label counts as confident, in [0, 1].
        weighting: what w is: ``share`` is one number for all pixels, the share of confident ones in the batch (DACS);
            ``pixel`` is 1 for each confident pixel and 0 for the others.
        weight: factor of the loss on the target, ≥ 0.
        strong: how the colours are changed; None is DACS's jitter and blur.
        teacher_dropout: whether dropout is active in the teacher too.
        criterion: loss on the masks; cross-entropy if None.

    Raises:
        ValueError: if a number is out of range.
    """

    required_streams = ("source", "target")
    optional_streams = ("labelled_target",)
    view_name = "strong_view"
    """What the student is asked about, where it is shown."""

    def __init__(
        self,
        momentum: float = 0.99,
        threshold: float = 0.968,
        weighting: Weighting = "share",
        weight: float = 1.0,
        strong: StrongAugmentation | None = None,
        teacher_dropout: bool = True,
        criterion: Criterion | None = None,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        if not 0 <= momentum < 1:
            raise ValueError(f"{owner}.momentum is {momentum}; it is in [0, 1), such as 0.99.")
        if not 0 <= threshold <= 1:
            raise ValueError(f"{owner}.threshold is {threshold}; it is a probability, such as 0.968.")
        if weighting not in get_args(Weighting):
            raise ValueError(f"{owner}.weighting is {weighting!r}; it is {' or '.join(get_args(Weighting))}.")
        if weight < 0:
            raise ValueError(f"{owner}.weight is {weight}; give 0 or a positive number.")
        self.momentum = momentum
        self.threshold = threshold
        self.weighting = weighting
        self.weight = weight
        self.strong = strong or StrongAugmentation()
        self.teacher_dropout = teacher_dropout
        self.criterion = criterion or CrossEntropy()

    def build(self, network: Network, classes: Sequence[str]) -> None:
        """Makes the teacher."""
        self.classes = list(classes)
        self.mean_teacher = Teacher(network, self.momentum, self.teacher_dropout)

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the loss on the source, on target labels where there are any, and on the pseudo-labels."""
        yield self.source_terms(network, batch, step)
        yield from labelled_target_terms(self.criterion, network, batch)
        labels, confidence = pseudo_labels(self.mean_teacher.logits(network, batch["target"]["image"]))
        confident = confidence >= self.threshold
        weights = self.weigh(confident)
        step.shared["pseudo_labels"], step.shared["pseudo_weights"] = labels, weights
        step.show("pseudo_labels", batch["target"]["image"], {"pseudo-label": labels, "confidence": confidence})
        view = self.student_view(batch, labels, weights)
        step.show(self.view_name, view.image, {"label": view.labels, "weight": view.weights})
        logits = network(view.image)
        yield {"pseudo_labels": self.weight * weighted_cross_entropy(logits, view.labels, view.weights)}
        log_pseudo_labels(step, labels, confident, self.classes)
        step.log("pseudo_labels/agreement", agreement(logits, view.labels, view.of_target))

    def source_terms(self, network: Network, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Returns the terms on the source, which share a graph: the loss.

        Args:
            network: the network in training mode.
            batch: the streams of the step.
            step: where training is.
        """
        source = batch["source"]
        return {"segmentation": self.criterion(network(source["image"]), source["mask"])}

    def weigh(self, confident: Tensor) -> Tensor:
        """Returns what each pseudo-label counts.

        Args:
            confident: (B, H, W) bool, whether it is confident.

        Returns:
            (B, H, W) float32.
        """
        return confident.float() if self.weighting == "pixel" else confident_share(confident)

    def student_view(self, batch: Batch, labels: Tensor, weights: Tensor) -> StudentView:
        """Makes what the student is asked about: the target images with colours changed.

        Args:
            batch: the streams of the step.
            labels: (B, H, W) the pseudo-labels of the target images.
            weights: (B, H, W) what they count.
        """
        everywhere = torch.ones_like(labels, dtype=torch.bool)
        return StudentView(self.strong(batch["target"]["image"]), labels, weights, everywhere)

    def after_step(self, network: Network, step: Step) -> None:
        """Moves the teacher."""
        self.mean_teacher.update(network, step.index)

    def pseudo_labels(self, probabilities: Tensor) -> Tensor:
        """Returns the likeliest classes where they reach the threshold."""
        return confident_labels(probabilities, self.threshold)

    @property
    def teacher(self) -> Teacher:
        """The mean teacher."""
        return self.mean_teacher

    def inference_network(self, network: nn.Module, domain: DomainName) -> nn.Module:
        """Returns the teacher."""
        return self.mean_teacher.network

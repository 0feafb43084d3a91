"""Training on the source and on a target that the network of a while ago labelled (CBST, CRST)."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from datamodules.batch import IGNORE, Batch, DomainBatch
from strategies.base import Losses, Network, Step, Strategy
from strategies.components.class_thresholds import (
    BINS,
    balanced_labels,
    class_thresholds,
    confidence_histogram,
    soft_labels,
)
from strategies.components.criteria import Criterion, CrossEntropy
from strategies.components.pseudo_labels import agreement, log_pseudo_labels
from strategies.components.ranks import sum_over_ranks
from strategies.components.supervision import labelled_target_terms

Regularizer = Literal["none", "mrkld", "lrent"]
MRKLD_STRENGTH = 0.1
LRENT_STRENGTH = 0.25


class SelfTraining(Strategy):
    """Trains on the source, and on labels that the network gave the target itself, as large a share of every class.

    A round begins every ``refresh_every`` steps. The network is copied, the copy passes over the target, and each
    class c gets as its threshold k_c the confidence that a portion of the pixels predicted as c reach; the portion
    grows from round to round. Until the next round a target pixel has the label ŷ = argmax_c p_c / k_c of the copy
    where p_c / k_c ≥ 1, and none elsewhere. Loss: CE(source) + weight · mean over labelled pixels of CE(network, ŷ).

    Start from a network that was trained on the source (``model.init_from``), as the papers do: one that knows
    nothing teaches itself its own guesses. Regularisers keep it from becoming too sure of wrong labels: ``mrkld`` adds
    0.1 · mean over classes of −log p_c on the labelled pixels; ``lrent`` makes the labels soft,
    ŷ_c ∝ (p_c / k_c)^(1 / 0.25), where the sum of these is at least 1.

    Reference: Zou et al., CBST, ECCV 2018, https://arxiv.org/abs/1810.07911; Zou et al., CRST, ICCV 2019,
    https://arxiv.org/abs/1908.09822
    Costs: one more forward and backward, on the target images, the copy's forward, and one of all of them each round
    Differs from the papers: each crop is labelled in its step, as it is, where they store labels of whole images at
    nine tenths of their size, averaged with those of the mirrored ones; all of the source is used, not a small share
    that grows; crops are not drawn around rare classes; no spatial prior; rounds go on after the largest portion. Their
    code has mrkld's factor twice, 0.01 in effect.

    Args:
        refresh_every: optimizer steps of a round, at least 1; the papers' two epochs of the target. CRST has three.
        portion: share of each class's pixels that are labelled in the first round, in (0, 1]. CRST has 0.2, CBST
            0.15 for GTA5 and 0.2 for SYNTHIA.
        portion_step: what is added to it in each round, ≥ 0.
        portion_max: the largest it becomes, in (0, 1].
        regularizer: ``none`` (CBST), ``mrkld`` or ``lrent`` (CRST).
        images: the most target images a rank passes over for the thresholds, at least 1; None is all of them.
        weight: factor of the loss on the target, ≥ 0.
        criterion: loss on the masks; cross-entropy if None.

    Raises:
        ValueError: if a number is out of range or the regulariser unknown.
    """

    required_streams = ("source", "target")
    optional_streams = ("labelled_target",)

    refresh_every: int
    thresholds: Tensor

    def __init__(
        self,
        refresh_every: int = 500,
        portion: float = 0.2,
        portion_step: float = 0.05,
        portion_max: float = 0.5,
        regularizer: Regularizer = "none",
        images: int | None = None,
        weight: float = 1.0,
        criterion: Criterion | None = None,
    ) -> None:
        super().__init__()
        if refresh_every < 1:
            raise ValueError(f"SelfTraining.refresh_every is {refresh_every}; a round has at least 1 step.")
        for name, share in (("portion", portion), ("portion_max", portion_max)):
            if not 0 < share <= 1:
                raise ValueError(f"SelfTraining.{name} is {share}; it is a share in (0, 1], such as 0.2.")
        if portion_step < 0:
            raise ValueError(f"SelfTraining.portion_step is {portion_step}; give 0 or a positive number.")
        if regularizer not in get_args(Regularizer):
            raise ValueError(f"SelfTraining.regularizer is {regularizer!r}; it is {', '.join(get_args(Regularizer))}.")
        if images is not None and images < 1:
            raise ValueError(f"SelfTraining.images is {images}; give at least 1, or null for all of them.")
        if weight < 0:
            raise ValueError(f"SelfTraining.weight is {weight}; give 0 or a positive number.")
        self.refresh_every = refresh_every
        self.portion = portion
        self.portion_step = portion_step
        self.portion_max = portion_max
        self.regularizer = regularizer
        self.images = images
        self.weight = weight
        self.criterion = criterion or CrossEntropy()

    def build(self, network: Network, classes: Sequence[str]) -> None:
        """Makes the copy that labels, and thresholds that no pixel reaches."""
        self.classes = list(classes)
        self.labeller = deepcopy(cast(nn.Module, network)).requires_grad_(False)
        # Equal on all ranks, as what comes from sums over them: DDP may send the first rank's around.
        self.register_buffer("thresholds", torch.ones(len(self.classes)))

    def refresh(self, network: Network, target_batches: Iterable[DomainBatch], step: Step) -> None:
        """Begins a round: copies the network and finds the thresholds."""
        if step.index == step.total:
            return
        self.labeller.load_state_dict(cast(nn.Module, network).state_dict())
        histogram = torch.zeros(len(self.classes), BINS, dtype=torch.int64, device=self.thresholds.device)
        seen: set[str] = set()
        for batch in target_batches:
            seen.update(batch["name"])
            if self.images is not None and len(seen) > self.images:
                break
            histogram += confidence_histogram(self._probabilities(batch["image"]))
        self.thresholds.copy_(class_thresholds(sum_over_ranks(histogram), self.portion_at(step)))

    def portion_at(self, step: Step) -> float:
        """Returns the share of each class's pixels that are labelled in the round of a step."""
        return min(self.portion + self.portion_step * self.round_at(step), self.portion_max)

    def round_at(self, step: Step) -> int:
        """Returns the zero-based round of a step."""
        return step.index // self.refresh_every

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the loss on the source, on target labels where there are any, and on the pseudo-labels."""
        source, target = batch["source"], batch["target"]["image"]
        yield {"segmentation": self.criterion(network(source["image"]), source["mask"])}
        yield from labelled_target_terms(self.criterion, network, batch)
        labels, soft = self._labels(self._probabilities(target))
        step.shared["pseudo_labels"], step.shared["pseudo_weights"] = labels, (labels != IGNORE).float()
        step.show("pseudo_labels", target, {"pseudo-label": labels})
        logits = network(target)
        yield {"pseudo_labels": self.weight * self._pseudo_loss(logits, labels, soft)}
        labelled = labels != IGNORE
        log_pseudo_labels(step, torch.where(labelled, labels, 0), labelled, self.classes)
        step.log("pseudo_labels/agreement", agreement(logits, labels))
        step.log("pseudo_labels/round", self.round_at(step))
        step.log("pseudo_labels/portion", self.portion_at(step))
        for name, threshold in zip(self.classes, self.thresholds, strict=True):
            step.log(f"pseudo_labels/threshold/{name}", threshold)

    @torch.no_grad()
    def _probabilities(self, image: Tensor) -> Tensor:
        logits: Tensor = self.labeller.eval()(image)
        return logits.float().softmax(dim=1)

    def _labels(self, probabilities: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns the labels, 255 = none, and what is learned in their place if they are to be soft."""
        if self.regularizer == "lrent":
            return soft_labels(probabilities, self.thresholds, LRENT_STRENGTH)
        return balanced_labels(probabilities, self.thresholds), None

    def _pseudo_loss(self, logits: Tensor, labels: Tensor, soft: Tensor | None) -> Tensor:
        log_probabilities = logits.float().log_softmax(dim=1)
        if soft is None:
            loss = functional.nll_loss(log_probabilities, labels, ignore_index=IGNORE, reduction="none")
        else:
            loss = -(soft * log_probabilities).sum(dim=1)
        if self.regularizer == "mrkld":
            loss = loss - MRKLD_STRENGTH * log_probabilities.mean(dim=1)
        labelled = labels != IGNORE
        return (loss * labelled).sum() / labelled.sum().clamp_min(1)

    def pseudo_labels(self, probabilities: Tensor) -> Tensor:
        """Returns the labels by the thresholds of the round."""
        return self._labels(probabilities.float())[0]

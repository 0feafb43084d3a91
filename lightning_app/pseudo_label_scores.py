"""What a strategy's pseudo-labels are worth on labelled target images, summed over the whole set and all ranks."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from datamodules.batch import IGNORE
from strategies.base import Strategy

Watch = Callable[[Tensor], None]
"""Is told the probabilities of rows that are finished, as in ``predict_mask``."""


class PseudoLabelScores(Metric):
    """Counts which pixels get a pseudo-label and a right one, and on which teacher and student agree.

    Args:
        classes: the class names, in the order of the ids.
    """

    full_state_update = False
    confident: Tensor
    """() pixels that get a pseudo-label."""
    pixels: Tensor
    """() pixels that were asked for it."""
    labelled: Tensor
    """(classes,) those of them that have a label, by pseudo-label."""
    right: Tensor
    """(classes,) those of them whose pseudo-label is the label."""
    agreed: Tensor
    """() pixels that teacher and student give the same class."""
    compared: Tensor
    """() pixels that both predicted."""

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = classes
        shapes = {"confident": (), "pixels": (), "labelled": (len(classes),), "right": (len(classes),)}
        for name, shape in {**shapes, "agreed": (), "compared": ()}.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def add(
        self,
        strategy: Strategy,
        network: nn.Module,
        student: nn.Module,
        mask: Tensor,
        predict: Callable[[nn.Module, Watch | None], Tensor],
        watch: Watch,
    ) -> Tensor:
        """Predicts images, and counts what the strategy would make of the prediction.

        A strategy without pseudo-labels pays nothing; one with a teacher pays a second prediction.

        Args:
            strategy: what trains.
            network: the network that infers.
            student: the network that learns, the same or another.
            mask: (B, H, W) class ids, 255 = ignore.
            predict: predicts (B, H, W) class ids of the images by a network, and tells a watch of the probabilities.
            watch: is told those of the network that infers, too.

        Returns:
            The prediction of the network that infers.
        """
        rows: list[Tensor] = []

        def note(probabilities: Tensor) -> None:
            watch(probabilities)
            given = strategy.pseudo_labels(probabilities)
            if given is not None:
                rows.append(given)

        prediction = predict(network, note)
        pseudo_labels = torch.cat(rows, dim=1).view_as(prediction) if rows else None
        teacher, other = strategy.teacher, None
        if teacher is not None:
            other = predict(student if network is teacher.network else teacher.network, None)
        if pseudo_labels is not None or other is not None:
            self.update(prediction, mask, pseudo_labels, other)
        return prediction

    def update(
        self, prediction: Tensor, mask: Tensor, pseudo_labels: Tensor | None = None, other: Tensor | None = None
    ) -> None:
        """Counts the pixels of some images.

        Args:
            prediction: (B, H, W) class ids, of the network that infers.
            mask: (B, H, W) class ids, 255 = ignore.
            pseudo_labels: (B, H, W) class ids, 255 = none, what the prediction would give; None without those.
            other: (B, H, W) class ids, of the other of teacher and student; None without a teacher.
        """
        if pseudo_labels is not None:
            confident = pseudo_labels != IGNORE
            labelled = confident & (mask != IGNORE)
            self.confident = self.confident + confident.sum()
            self.pixels = self.pixels + confident.numel()
            self.labelled = self.labelled + self._by_class(pseudo_labels[labelled])
            self.right = self.right + self._by_class(pseudo_labels[labelled & (pseudo_labels == mask)])
        if other is not None:
            self.agreed = self.agreed + (prediction == other).sum()
            self.compared = self.compared + prediction.numel()

    def _by_class(self, ids: Tensor) -> Tensor:
        return torch.bincount(ids.long(), minlength=len(self.classes))

    def compute(self) -> dict[str, float]:
        """Returns the scores, each in [0, 1], by the names under which they are logged for the domain.

        A score that is a share of no pixel is left out, such as the precision of a class that is never predicted.
        """
        shares = {
            "pseudo_labels/precision": (self.right.sum(), self.labelled.sum()),
            **{
                f"pseudo_labels/precision/{name}": (right, labelled)
                for name, right, labelled in zip(self.classes, self.right, self.labelled, strict=True)
            },
            "pseudo_labels/coverage": (self.confident, self.pixels),
            "agreement": (self.agreed, self.compared),
        }
        return {name: int(part) / int(whole) for name, (part, whole) in shares.items() if whole > 0}

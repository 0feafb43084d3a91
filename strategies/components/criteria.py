"""Losses between logits and masks, each usable alone and chosen by ``class_path``.

All of them leave out pixels of class 255, are 0 (with a gradient of 0) where every pixel is left out, and compute in
float32 under half precision.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from datamodules.batch import IGNORE


class Criterion(nn.Module):
    """A loss of (B, classes, H, W) logits and (B, H, W) int64 masks with 255 = ignore, as a scalar."""

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Returns the loss, averaged as the criterion says."""
        raise NotImplementedError


class CrossEntropy(Criterion):
    """Cross-entropy per pixel, averaged over the pixels that count.

    With two classes this equals the binary cross-entropy −1/N Σ [y log ŷ + (1−y) log(1−ŷ)], where ŷ is the
    softmax's second output.

    Args:
        class_weights: one factor a class, > 0, in the order of the classes; the average is then
            weighted, as in ``torch.nn.CrossEntropyLoss``. None weighs all alike.
        label_smoothing: share of the target probability spread over all classes, in [0, 1).

    Raises:
        ValueError: if a weight is not positive, the smoothing is out of range, or the number of weights is
            not the number of classes.
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: Sequence[float] | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if class_weights is not None and min(class_weights, default=0.0) <= 0:
            raise ValueError(f"CrossEntropy.class_weights is {list(class_weights)}; give one > 0 for each class.")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"CrossEntropy.label_smoothing is {label_smoothing}; give a number in [0, 1).")
        self.label_smoothing = label_smoothing
        # Not persistent: it is a setting, and a checkpoint must load under another one.
        self.register_buffer(
            "class_weights", None if class_weights is None else torch.tensor(list(class_weights)), persistent=False
        )

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Returns the weighted mean over the pixels that are not 255."""
        # Under true half precision buffers are not float32, and the logits must be of their type.
        weights = None if self.class_weights is None else self.class_weights.float()
        if weights is not None and len(weights) != logits.shape[1]:
            raise ValueError(
                f"CrossEntropy.class_weights has {len(weights)} numbers, but there are {logits.shape[1]} classes: give "
                "one for each class."
            )
        total = functional.cross_entropy(
            logits.float(),
            mask,
            weight=weights,
            ignore_index=IGNORE,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        counted = mask != IGNORE
        if weights is None:
            count = counted.sum().to(total.dtype)
        else:
            count = (weights[mask.masked_fill(~counted, 0)] * counted).sum()
        # The mean of nothing is NaN; a batch of ignored pixels is a normal case and teaches nothing.
        return total / torch.where(count > 0, count, torch.ones_like(count))


class Focal(Criterion):
    """Focal loss: cross-entropy times (1 − p)^gamma of the true class, averaged over the pixels that count.

    Reference: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, https://arxiv.org/abs/1708.02002.

    Args:
        gamma: how much easy pixels are played down, ≥ 0; 0 is cross-entropy.

    Raises:
        ValueError: if gamma is negative.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f"Focal.gamma is {gamma}; give 0 or a positive number.")
        self.gamma = gamma

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Returns the mean over the pixels that are not 255."""
        entropy = functional.cross_entropy(logits.float(), mask, ignore_index=IGNORE, reduction="none")
        # 1 − p by expm1 keeps its precision, and a gradient, where p is close to 1.
        difficulty = (-torch.expm1(-entropy)).clamp_min(torch.finfo(entropy.dtype).tiny)
        return (difficulty**self.gamma * entropy).sum() / (mask != IGNORE).sum().clamp_min(1)


class Dice(Criterion):
    """One minus the Dice coefficient of softmax and mask, averaged over the classes that occur in the batch's masks.

    Reference: Milletari et al., V-Net, 3DV 2016, https://arxiv.org/abs/1606.04797, whose squared sums in the
    denominator are plain sums here, as is common for several classes.

    Args:
        smooth: added to numerator and denominator, in pixels, ≥ 0.

    Raises:
        ValueError: if smooth is negative.
    """

    def __init__(self, smooth: float = 1.0) -> None:
        super().__init__()
        if smooth < 0:
            raise ValueError(f"Dice.smooth is {smooth}; give 0 or a positive number of pixels.")
        self.smooth = smooth

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Returns the mean over the classes in the mask; pixels of 255 count nowhere."""
        counted = (mask != IGNORE).unsqueeze(1)
        probabilities = logits.float().softmax(dim=1) * counted
        truth = torch.zeros_like(probabilities).scatter_(1, mask.masked_fill(mask == IGNORE, 0).unsqueeze(1), 1.0)
        truth = truth * counted
        over = (0, 2, 3)
        overlap = (probabilities * truth).sum(over)
        size = probabilities.sum(over) + truth.sum(over)
        present = truth.sum(over) > 0
        dice = (2 * overlap + self.smooth) / (size + self.smooth).clamp_min(torch.finfo(size.dtype).tiny)
        return ((1 - dice) * present).sum() / present.sum().clamp_min(1)


class Sum(Criterion):
    """A weighted sum of criteria.

    Args:
        criteria: the criteria, by a name of your choice.
        weights: factor of each, by the same names; 1 where none is given.

    Raises:
        ValueError: if there is no criterion, or a weight names none.
    """

    def __init__(self, criteria: dict[str, Criterion], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        if not criteria:
            raise ValueError("Sum.criteria is empty; name at least one criterion.")
        unknown = sorted(set(weights or {}) - set(criteria))
        if unknown:
            raise ValueError(f"Sum.weights names {unknown}, but the criteria are {sorted(criteria)}.")
        self.criteria = nn.ModuleDict(criteria)
        self.weights = {name: (weights or {}).get(name, 1.0) for name in criteria}

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Returns the sum of weight × loss."""
        terms = [self.weights[name] * criterion(logits, mask) for name, criterion in self.criteria.items()]
        return torch.stack(terms).sum()

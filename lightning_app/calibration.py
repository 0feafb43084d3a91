"""How far a network's confidence can be believed, from sums over the whole set and all ranks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from datamodules.batch import IGNORE
from lightning_app.bands import bands

BINS = 15
"""Equal parts of the confidences from 0 to 1; each holds its upper end."""
_UNIT = 2**24


class Calibration(Metric):
    """Sums, in 15 bins of confidence, the pixels, their confidence and the right ones; class 255 is left out.

    Reference: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017,
    https://arxiv.org/abs/1706.04599.
    """

    full_state_update = False
    sums: Tensor
    """(3, bins) int64: pixels, confidence in units of 2⁻²⁴, right pixels. Whole numbers, so that the sum is the same
    in any order and on any number of ranks."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(3, BINS, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, confidence: Tensor, prediction: Tensor, mask: Tensor) -> None:
        """Counts the pixels of some images, without a synchronisation of the device.

        Args:
            confidence: (B, H, W) float32, the largest probability of each pixel.
            prediction: (B, H, W) class ids, those of the largest probability.
            mask: (B, H, W) class ids, 255 = ignore.
        """
        for sure, predicted, true in bands(confidence, prediction, mask):
            bins = (sure * BINS).ceil_().sub_(1).clamp_(min=0).long()
            # Ignored pixels have a bin of their own, which is dropped: to pick the others out would synchronise.
            bins = bins.masked_fill_(true == IGNORE, BINS).flatten(0, 1)
            values = torch.ones_like(bins), (sure * _UNIT).round_().long(), (predicted == true).long()
            # Summed by image column first: most pixels fall into one bin, and threads would wait for each other there.
            columns = bins.new_zeros(len(values), BINS + 1, bins.shape[-1])
            for sums, value in zip(columns, values, strict=True):
                sums.scatter_add_(0, bins, value.view_as(bins))
            self.sums = self.sums + columns[:, :BINS].sum(dim=2)

    def compute(self) -> Tensor:
        """Returns (15, 3) float64: the pixels of each bin, their summed confidence, and how many are right."""
        pixels, confidence, right = self.sums.cpu().double()
        return torch.stack([pixels, confidence / _UNIT, right], dim=1)


def expected_calibration_error(bins: Sequence[Sequence[float]]) -> float:
    """Returns Σ n_b / N · |accuracy_b − confidence_b| over the bins b, in [0, 1].

    Args:
        bins: pixels, summed confidence and right pixels of each bin; at least one pixel.
    """
    return sum(abs(right - confidence) for _, confidence, right in bins) / sum(pixels for pixels, _, _ in bins)

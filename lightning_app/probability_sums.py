"""What label-free scores need of an image's probabilities, kept while it is predicted a few rows at a time."""

import numpy as np
import torch
from torch import Tensor

SAMPLE = 256
"""Pixels of an image that are compared with each other."""
STRIDE = 2
"""Of the rows and columns whose probabilities are summed: the logarithms of all take as long as a small network."""
_GOLDEN = (5**0.5 - 1) / 2


class ProbabilitySums:
    """Sums the probabilities of images of one size, and keeps those of a few pixels of each.

    It is told the rows of one image after another, from the top, as ``predict_mask`` tells its ``watch``. The pixels
    are 256 of each image: their rows are evenly spaced, and each lies a golden section of the width behind the one
    before.

    Args:
        height: of the images, in pixels.
        width: of the images, in pixels.

    Attributes:
        pixels: pixels whose probabilities were summed: every second of every second row.
        entropies: () summed entropy in nats of each few rows.
        probabilities: (classes,) summed probabilities of each few rows.
        sampled: (classes, pixels) probabilities of pixels, of each few rows that have any.
    """

    def __init__(self, height: int, width: int) -> None:
        self.pixels = 0
        self.entropies: list[Tensor] = []
        self.probabilities: list[Tensor] = []
        self.sampled: list[Tensor] = []
        places = np.arange(SAMPLE)
        self._height = height
        self._rows = (2 * places + 1) * height // (2 * SAMPLE)
        self._columns = (places * _GOLDEN % 1 * width).astype(np.int64)
        self._next_row = 0

    def __call__(self, probabilities: Tensor) -> None:
        """Adds some rows.

        Args:
            probabilities: (1, classes, h, W).
        """
        probabilities = probabilities[0].float()
        counted = probabilities[:, -self._next_row % STRIDE :: STRIDE, ::STRIDE].contiguous()
        self.pixels += counted[0].numel()
        # In half the time of torch.special.entr.
        self.entropies.append(-(counted * counted.clamp(min=torch.finfo(counted.dtype).tiny).log()).sum())
        self.probabilities.append(counted.sum(dim=(1, 2)))
        end = self._next_row + probabilities.shape[1]
        first, last = np.searchsorted(self._rows, [self._next_row, end])
        if last > first:
            places = self._rows[first:last] - self._next_row, self._columns[first:last]
            rows, columns = (torch.from_numpy(one).to(probabilities.device) for one in places)
            self.sampled.append(probabilities[:, rows, columns])
        self._next_row = end % self._height

    def sample(self) -> Tensor:
        """Returns the probabilities of the pixels of each whole image, (B, 256, classes)."""
        together = torch.cat(self.sampled, dim=1)
        return together.view(len(together), -1, SAMPLE).permute(1, 2, 0)

"""Sums over several overlapping sets of images, of which none is kept."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_app.gap.comparisons import Positions


class SetSums:
    """Adds up what is told of images, for each set that an image is in.

    Args:
        sets: the positions of the images of each set.
        images: the number of images.
    """

    def __init__(self, sets: list[Positions], images: int) -> None:
        self._members: NDArray[np.bool_] = np.zeros((len(sets), images), bool)
        for row, positions in zip(self._members, sets, strict=True):
            row[positions] = True
        self._sums: dict[str, Tensor] = {}

    def add(self, name: str, image: int, values: Tensor) -> None:
        """Adds values of an image.

        Args:
            name: what they are.
            image: its position.
            values: of any shape, the same for every image.
        """
        if name not in self._sums:
            self._sums[name] = torch.zeros(len(self._members), *values.shape, dtype=torch.float64)
        self._sums[name][torch.from_numpy(self._members[:, image])] += values.double().cpu()

    def __contains__(self, name: str) -> bool:
        """Tells whether anything was added under a name."""
        return name in self._sums

    def __getitem__(self, name: str) -> Tensor:
        """Returns the sums of a name, (sets, …) float64."""
        return self._sums[name]

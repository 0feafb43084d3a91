"""A bounded sample of a stream of pixels, as many of each class, however long the stream is."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from datamodules.batch import IGNORE

Values = Mapping[str, Tensor]


class PixelReservoir:
    """Keeps up to so many pixels of each class, every pixel of a class being as likely kept.

    Each pixel draws a key and the smallest keys of a class stay, so that the order of the stream does not matter.
    What is kept lies in the CPU's memory.

    Args:
        capacity: the pixels kept of each class, ≥ 1.
        classes: the number of classes, ≥ 1.

    Attributes:
        seen: (classes,) int64, the pixels offered of each class.
    """

    def __init__(self, capacity: int, classes: int = 1) -> None:
        self.capacity = capacity
        self.seen = torch.zeros(classes, dtype=torch.int64)
        self._keys = torch.empty(0, dtype=torch.float64)
        self._labels = torch.empty(0, dtype=torch.int64)
        self._values: dict[str, Tensor] = {}

    def offer(self, labels: Tensor, values: Callable[[Tensor], Values], generator: torch.Generator) -> None:
        """Offers pixels.

        Args:
            labels: (N,) int64 class ids, 255 = ignore: such a pixel is never kept.
            values: asked for what belongs to the pixels that are kept, given their positions (K,) int64: tensors
                whose first dimension is K, under the same names every time.
            generator: of the CPU; one seeded by the image makes the sample independent of the order of images.
        """
        labels = labels.cpu()
        counted = labels != IGNORE
        self.seen += torch.bincount(labels[counted], minlength=len(self.seen))
        keys = torch.rand(len(labels), dtype=torch.float64, generator=generator)
        places = _smallest(keys, labels, self.capacity, len(self.seen))
        if len(places):
            found = {name: value.detach().cpu() for name, value in values(places).items()}
            self._take(keys[places], labels[places], found)

    @property
    def labels(self) -> Tensor:
        """(K,) int64, the class ids of the pixels kept."""
        return self._labels

    def __getitem__(self, name: str) -> Tensor:
        """Returns what was given under a name, (K, …), in the order of ``labels``."""
        return self._values[name]

    def _take(self, keys: Tensor, labels: Tensor, values: Values) -> None:
        keys, labels = torch.cat([self._keys, keys]), torch.cat([self._labels, labels])
        joined = {
            name: torch.cat([self._values[name], value]) if self._values else value for name, value in values.items()
        }
        # By key within each class: so a sample does not tell in which order it came.
        places = _smallest(keys, labels, self.capacity, len(self.seen))
        self._keys, self._labels = keys[places], labels[places]
        self._values = {name: value[places] for name, value in joined.items()}


def _smallest(keys: Tensor, labels: Tensor, count: int, classes: int) -> Tensor:
    """Returns the positions of the smallest keys of each class, class by class and in their order."""
    found = []
    for label in range(classes):
        of_class = (labels == label).nonzero().flatten()
        kept = keys[of_class].argsort()[:count]
        found.append(of_class[kept])
    return torch.cat(found)

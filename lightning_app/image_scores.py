"""How each single image was predicted, gathered from all ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class ImageScore:
    """How one image was predicted.

    Attributes:
        domain: ``source`` or ``target``.
        part: which of several domains in that role; empty where there is one.
        name: the image's name.
        intersection: pixels by class that have it in the mask and in the prediction.
        union: pixels by class that have it in the mask or in the prediction.
    """

    domain: str
    part: str
    name: str
    intersection: list[int]
    union: list[int]

    @property
    def iou(self) -> list[float | None]:
        """Intersection over union by class, in [0, 1]; None for a class that occurs in neither."""
        counts = zip(self.intersection, self.union, strict=True)
        return [intersection / union if union else None for intersection, union in counts]

    @property
    def miou(self) -> float | None:
        """Mean of ``iou`` over the classes that occur; None if every pixel is ignored."""
        present = [value for value in self.iou if value is not None]
        return sum(present) / len(present) if present else None


class ImageScores:
    """Collects the images of a validation or a test, each on the rank that predicted it."""

    def __init__(self) -> None:
        self._images: list[tuple[str, str, str]] = []
        self._counts: list[Tensor] = []

    def add(self, domain: str, part: str, names: Sequence[str], matrices: Tensor) -> None:
        """Adds some images. Their counts stay on the device.

        Args:
            domain: ``source`` or ``target``.
            part: which of several domains in that role, or an empty string.
            names: one name an image.
            matrices: (B, classes, classes) pixel counts of each image, rows = truth, columns = prediction.
        """
        intersection = matrices.diagonal(dim1=1, dim2=2)
        union = matrices.sum(dim=1) + matrices.sum(dim=2) - intersection
        self._images += [(domain, part, name) for name in names]
        self._counts.append(torch.stack([intersection, union], dim=1))

    def reset(self) -> None:
        """Forgets what was added."""
        self._images, self._counts = [], []

    def gather(self) -> list[ImageScore]:
        """Returns the images of all ranks, by domain, part and name, on rank 0, and none on the others.

        Every rank calls it.
        """
        counts = torch.cat(self._counts).tolist() if self._counts else []
        found = [ImageScore(*image, *both) for image, both in zip(self._images, counts, strict=True)]
        if distributed.is_available() and distributed.is_initialized():
            ranks: list[list[ImageScore]] = [[] for _ in range(distributed.get_world_size())]
            distributed.gather_object(found, ranks if distributed.get_rank() == 0 else None)
            found = [score for rank in ranks for score in rank]
        return sorted(found, key=lambda score: (score.domain, score.part, score.name))

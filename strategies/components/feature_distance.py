"""How far features have moved from pretrained ones, where a mask shows certain classes (DAFormer, CVPR 2022)."""

import torch
from torch import Tensor
from torch.nn import functional

from datamodules.batch import IGNORE


def class_cells(mask: Tensor, classes: Tensor, stride: int, size: tuple[int, int], share: float = 0.75) -> Tensor:
    """Finds the cells of a feature map that one of some classes fills almost alone.

    Ignored pixels, and those by which the image was padded at the bottom and on the right, are of no class, but count
    among the pixels of their cell.

    Args:
        mask: (B, H, W) int64 class ids, 255 = ignore.
        classes: (N,) int64, the classes that count.
        stride: side of a cell in pixels.
        size: (h, w) of the feature map.
        share: the share of a cell's pixels that the class has at least, in (0.5, 1].

    Returns:
        (B, h, w) bool.

    Raises:
        ValueError: if the share is out of range, or the map does not cover the mask.
    """
    if not 0.5 < share <= 1:
        raise ValueError(f"class_cells: share is {share}; it is above 0.5, so that one class has it, and at most 1.")
    bottom, right = (cells * stride - pixels for cells, pixels in zip(size, mask.shape[1:], strict=True))
    if bottom < 0 or right < 0:
        raise ValueError(
            f"class_cells: {size[0]}x{size[1]} cells of {stride} pixels do not cover a mask of "
            f"{mask.shape[1]}x{mask.shape[2]}."
        )
    padded = functional.pad(mask, (0, right, 0, bottom), value=IGNORE)
    pixels = padded.reshape(len(mask), 1, size[0], stride, size[1], stride)
    counts: Tensor = (pixels == classes.view(-1, 1, 1, 1, 1)).sum(dim=(3, 5))
    return (counts >= share * stride**2).any(dim=1)


def feature_distance(features: Tensor, pretrained: Tensor, cells: Tensor) -> Tensor:
    """Returns the mean Euclidean distance of two maps over some cells; 0, with a gradient of 0, where there is none.

    Args:
        features: (B, D, h, w).
        pretrained: (B, D, h, w), what they are measured from.
        cells: (B, h, w) bool, the cells that count.

    Returns:
        () float32.
    """
    distances: Tensor = torch.linalg.vector_norm(features.float() - pretrained.float(), dim=1)
    return (distances * cells).sum() / cells.sum().clamp_min(1)

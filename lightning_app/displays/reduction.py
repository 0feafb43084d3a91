"""From tensors of any size to the small pictures of a panel."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from datamodules.domain import ImageArray, MaskArray

SIDE = 480
"""Longest side of a panel's pictures in pixels."""


def small_image(image: Tensor) -> ImageArray:
    """Makes a picture of an image, where it is, and brings it to the CPU.

    Args:
        image: (C, H, W) float; what is outside of [0, 1] is cut off.

    Returns:
        (h, w, C) uint8.
    """
    reduced = _averaged(image.float()).clamp(0, 1).mul(255).round().to(torch.uint8)
    return reduced.movedim(0, -1).cpu().numpy()


def small_map(values: Tensor) -> NDArray[np.float32]:
    """Reduces a map of numbers, where it is, and brings it to the CPU.

    Args:
        values: (H, W) float.

    Returns:
        (h, w) float32.
    """
    reduced: NDArray[np.float32] = _averaged(values.float().unsqueeze(0))[0].cpu().numpy()
    return reduced


def small_mask(mask: Tensor) -> MaskArray:
    """Reduces a mask without making new class ids, where it is, and brings it to the CPU.

    Args:
        mask: (H, W) class ids, 255 = ignore.

    Returns:
        (h, w) uint8.
    """
    height, width = _reduced_size(mask)
    # The middle of what each pixel stands for: the masks of an image are all taken at the same places.
    rows = ((torch.arange(height, device=mask.device) + 0.5) * (mask.shape[0] / height)).long()
    columns = ((torch.arange(width, device=mask.device) + 0.5) * (mask.shape[1] / width)).long()
    return mask[rows][:, columns].to(torch.uint8).cpu().numpy()


def _averaged(values: Tensor) -> Tensor:
    """Reduces (C, H, W)."""
    size = _reduced_size(values)
    if size == values.shape[-2:]:
        return values
    return functional.interpolate(values.unsqueeze(0), size, mode="bilinear", antialias=True)[0]


def _reduced_size(values: Tensor) -> tuple[int, int]:
    height, width = values.shape[-2:]
    factor = min(1.0, SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))

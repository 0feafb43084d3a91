"""Which blocks of an image are hidden, on the device and without waiting for it."""

import torch
from torch import Tensor
from torch.nn import functional


def block_mask(image: Tensor, block: int, ratio: float) -> Tensor:
    """Hides blocks of images at random, each by a draw of its own.

    Reference: Hoyer et al., MIC, CVPR 2023, https://arxiv.org/abs/2212.01322, whose code too stretches the blocks
    where their side does not divide the image's: there are round(H / block) × round(W / block) of them.

    Args:
        image: (B, C, H, W); only its size and its device count.
        block: side of a block in pixels, from 1 to the smaller of H and W.
        ratio: chance that a block is hidden, in [0, 1].

    Returns:
        (B, 1, H, W) bool, true where the image is hidden.

    Raises:
        ValueError: if a block is larger than the image.
    """
    count, _, height, width = image.shape
    if block > min(height, width):
        raise ValueError(
            f"A block of {block} × {block} pixels is larger than the image of {height} × {width}: set "
            "MaskedConsistency.block to a sixteenth of data.crop or so, or data.crop larger."
        )
    grid = torch.rand(count, 1, round(height / block), round(width / block), device=image.device)
    return functional.interpolate(grid, (height, width), mode="nearest") < ratio

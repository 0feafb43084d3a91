"""Which pixels of a mixed image come from the source: classes or boxes. All on the device, without waiting for it."""

import math

import torch
from torch import Tensor

_IDS = 256


def class_mask(mask: Tensor) -> Tensor:
    """Picks at random half of the classes that are present in each mask, rounded up; 255 counts as a class.

    Reference: Olsson et al., ClassMix, WACV 2021, https://arxiv.org/abs/2007.07936.

    Args:
        mask: (B, H, W) int64 class ids, 255 = ignore.

    Returns:
        (B, H, W) bool, true on the pixels of the picked classes.
    """
    flat = mask.flatten(1)
    # float32 whatever torch's default: under true half precision many classes would draw the same number.
    present = torch.zeros(len(mask), _IDS, device=mask.device, dtype=torch.float32).scatter_(1, flat, 1.0)
    # Present classes draw a number in (0, 1], absent ones stand behind them all.
    drawn = present * (1 - torch.rand_like(present))
    place = drawn.argsort(dim=1, descending=True).argsort(dim=1)
    picked = place < (present.sum(dim=1, keepdim=True) / 2).ceil()
    return picked.gather(1, flat).view_as(mask)


def box_mask(mask: Tensor) -> Tensor:
    """Draws a box over half of each image, of a random shape in a random place.

    Reference: French et al., Semi-supervised semantic segmentation needs strong, varied perturbations, BMVC 2020,
    https://arxiv.org/abs/1906.01916.

    Args:
        mask: (B, H, W); only its size counts.

    Returns:
        (B, H, W) bool, true within the box.
    """
    count, height, width = mask.shape

    def uniform() -> Tensor:
        return torch.rand(count, 1, 1, device=mask.device, dtype=torch.float32)

    # The logarithm of a side's share is even between those of a half and of 1.
    share = (uniform() * math.log(0.5)).exp()
    rows, columns = (share * height).round(), (0.5 / share * width).round()
    top, left = (uniform() * (height - rows)).round(), (uniform() * (width - columns)).round()
    row = torch.arange(height, device=mask.device)[None, :, None]
    column = torch.arange(width, device=mask.device)[None, None, :]
    return (row >= top) & (row < top + rows) & (column >= left) & (column < left + columns)

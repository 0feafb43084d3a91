"""Large images piece by piece."""

from collections.abc import Iterator

import torch
from torch import Tensor

_ROWS = 512


def bands(*maps: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yields the maps of images in bands of rows: to count a large one whole would take many times its memory.

    Args:
        maps: each (B, H, W).
    """
    yield from zip(*(torch.split(one, _ROWS, dim=1) for one in maps), strict=True)

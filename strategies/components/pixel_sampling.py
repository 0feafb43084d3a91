"""Which pixels of feature maps are compared, drawn on the device and without waiting for it."""

from typing import NamedTuple

import torch
from torch import Tensor

from datamodules.batch import IGNORE
from strategies.base import Network


class Pixels(NamedTuple):
    """Pixels of a feature map.

    Attributes:
        features: (N, D) float32.
        weights: (N,) float32 ≥ 0, what each of them counts.
    """

    features: Tensor
    weights: Tensor


def sample_pixels(maps: Tensor, count: int, labels: Tensor | None = None) -> Pixels:
    """Draws pixels of a map, each at most once; all of them where there are no more than wanted.

    With labels, a pixel is the likelier drawn the fewer there are of its class, and those drawn are weighed so that
    every class that occurs counts the same, also where it has too few pixels for its share.

    Args:
        maps: (B, D, h, w).
        count: the number of pixels, ≥ 1.
        labels: (B, h, w) int64 class ids, 255 = ignore: such a pixel has weight 0 and is only taken where there are not
            enough others. None draws evenly and weighs all alike.
    """
    pixels = maps.movedim(1, -1).flatten(0, 2)
    classes = torch.zeros(len(pixels), dtype=torch.int64, device=maps.device) if labels is None else labels.flatten()
    if count < len(pixels):
        # The first to ring of clocks whose rates are 1 / pixels of the class. torch.multinomial waits for the device.
        clocks = torch.empty(len(pixels), dtype=torch.float32, device=maps.device).exponential_()
        ringing = clocks * _pixels_of_class(classes)
        places = ringing.masked_fill(classes == IGNORE, torch.inf).topk(count, largest=False).indices
        pixels, classes = pixels.index_select(0, places), classes[places]
    return Pixels(pixels.float(), (1 / _pixels_of_class(classes)).masked_fill(classes == IGNORE, 0))


def _pixels_of_class(classes: Tensor) -> Tensor:
    """Returns for each pixel how many have its class."""
    # Not of the default type: under true half precision that is one that cannot count.
    counts = torch.zeros(IGNORE + 1, dtype=torch.float32, device=classes.device)
    return counts.scatter_add_(0, classes, torch.ones_like(classes, dtype=counts.dtype))[classes]


def labels_of_cells(network: Network, mask: Tensor, size: tuple[int, int], classes: int) -> Tensor:
    """Gives each cell of a feature map the label that most pixels of the image have in it.

    Args:
        network: the network, which knows how its maps lie on the image.
        mask: (B, H, W) int64 class ids, 255 = ignore, which is a label like the others here.
        size: (h, w) of the map.
        classes: the number of classes.

    Returns:
        (B, h, w) int64; cells outside of the image, where it was padded, are 255.
    """
    height, width = size
    row = torch.arange(height, dtype=torch.float32, device=mask.device).view(1, 1, height, 1).expand(1, 1, *size)
    column = torch.arange(width, dtype=torch.float32, device=mask.device).expand(1, 1, *size)
    with torch.autocast(mask.device.type, enabled=False):
        # Enlarged, the numbers of the cells say for each pixel in which it lies.
        lies_in = network.to_image_size(torch.cat([row, column], dim=1), (mask.shape[-2], mask.shape[-1])).round()
    cell = (lies_in[:, 0] * width + lies_in[:, 1]).long()
    label = mask.masked_fill(mask == IGNORE, classes)
    votes = torch.zeros(len(mask), height * width * (classes + 1), dtype=torch.float32, device=mask.device)
    votes.scatter_add_(
        1, (cell * (classes + 1) + label).flatten(1), torch.ones_like(label, dtype=votes.dtype).flatten(1)
    )
    most, winner = votes.view(len(mask), height, width, classes + 1).max(dim=-1)
    return winner.masked_fill((winner == classes) | (most == 0), IGNORE)

"""k-NN: how often a pixel's nearest neighbours in other images have its class."""

import torch
from torch import Tensor

_ROWS = 1024


def neighbor_accuracy(features: Tensor, labels: Tensor, images: Tensor, neighbors: int = 20) -> float:
    """Returns how many pixels of a class the majority of their nearest neighbours tells, averaged over the classes.

    Pixels of the same image are no neighbours: next to each other they are alike, whatever the features are worth.

    Args:
        features: (N, D) float32.
        labels: (N,) int64 class ids, none of them ignored.
        images: (N,) int64, of which image each is; at least two images.
        neighbors: k; a draw goes to the smaller class id.

    Returns:
        In [0, 1]; a class of one image alone counts 0.
    """
    classes = int(labels.max()) + 1
    right = torch.zeros(classes, dtype=torch.float64)
    squared = (features**2).sum(1)
    most = min(neighbors, len(labels) - int(torch.bincount(images).max()))
    for rows in torch.split(torch.arange(len(labels)), _ROWS):
        distances = squared - 2 * features[rows] @ features.T
        distances.masked_fill_(images[rows, None] == images, torch.inf)
        nearest = labels[distances.topk(most, largest=False).indices]
        votes = torch.zeros(len(rows), classes).scatter_add_(1, nearest, torch.ones(nearest.shape))
        told = votes.argmax(1) == labels[rows]
        right += torch.bincount(labels[rows][told], minlength=classes)
    counts = torch.bincount(labels, minlength=classes)
    return float((right / counts)[counts > 0].mean())

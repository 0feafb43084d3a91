"""Features of any number in as many dimensions, so that networks of different width can be compared."""

import torch
from torch import Tensor

_ROWS = 1024


def principal_components(features: Tensor, dimensions: int) -> Tensor:
    """Returns the leading principal components of features, each channel divided by its standard deviation before.

    The maps of an encoder's stages differ in scale by orders of magnitude, and the loudest would decide alone.

    Args:
        features: (N, D) float32.
        dimensions: at most so many components are kept.

    Returns:
        (N, min(D, dimensions)) float32 of mean 0, the component of the largest variance first.
    """
    mean = features.mean(0, dtype=torch.float64)
    parts = torch.split(features, _ROWS)
    products = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64)
    for part in parts:
        centred = part.double() - mean
        products += centred.T @ centred
    deviation = (products.diagonal() / len(features)).sqrt()
    # Rounding leaves something of a channel that does not vary.
    scale = torch.where(deviation > 1e-6 * mean.abs() + 1e-12, 1 / deviation, 0)
    _, vectors = torch.linalg.eigh(products * torch.outer(scale, scale))
    axes = scale[:, None] * vectors.flip(1)[:, :dimensions]
    return torch.cat([((part.double() - mean) @ axes).float() for part in parts])

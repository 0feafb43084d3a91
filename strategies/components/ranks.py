"""What the ranks know together."""

import torch
from torch import Tensor


def sum_over_ranks(values: Tensor) -> Tensor:
    """Adds up what each rank has, so that all have the same; every rank calls it, in the same order.

    Args:
        values: of one shape and type on all ranks.

    Returns:
        The sum, a new tensor; without other ranks a copy.
    """
    total = values.detach().clone()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(total)
    return total

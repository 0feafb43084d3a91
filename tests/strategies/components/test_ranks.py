"""What the ranks know together; tests/lightning_app/test_two_ranks.py has two of them."""

import torch

from strategies.components.ranks import sum_over_ranks


def test_a_rank_alone_knows_what_it_knew() -> None:
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    total = sum_over_ranks(values)
    assert torch.equal(total, values) and not total.requires_grad
    total += 1
    assert values.tolist() == [1, 2]

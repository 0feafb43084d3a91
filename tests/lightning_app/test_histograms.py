"""Distances of histograms against scipy."""

import pytest
import torch
from scipy.spatial.distance import jensenshannon

from lightning_app.histograms import jensen_shannon


def test_jensen_shannon_is_scipys_in_bits_of_any_counts() -> None:
    first, second = torch.tensor([5.0, 0, 3, 2]).double(), torch.tensor([1.0, 4, 0, 0]).double()
    assert jensen_shannon(first, second).item() == pytest.approx(jensenshannon(first, second, base=2) ** 2, rel=1e-9)
    assert jensen_shannon(second, 3 * first).item() == pytest.approx(jensen_shannon(first, second).item())
    assert jensen_shannon(first, 7 * first).item() == pytest.approx(0)
    assert jensen_shannon(torch.tensor([3, 0]), torch.tensor([0, 5])).item() == pytest.approx(1)

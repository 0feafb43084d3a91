"""MinEnt: its two terms and its gradient against the formula written out."""

from typing import Any

import pytest
import tiny
import torch
from torch.nn import functional

from strategies import EntropyMinimization, Step


def test_terms_are_cross_entropy_and_weighted_mean_entropy() -> None:
    segmenter = tiny.make_segmenter(None).eval()
    network: Any = segmenter.network
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.randint(0, 10, (2, 32, 32), generator=torch.Generator().manual_seed(1))
    batch: Any = {"source": {"image": image, "mask": mask, "name": []}, "target": {"image": 1 - image, "name": []}}
    terms = {k: v for named in EntropyMinimization(0.2).losses(network, batch, Step(0, 1)) for k, v in named.items()}
    probabilities = network(1 - image).softmax(1)
    pixels = 2 * 32 * 32
    entropy = -(probabilities * (probabilities + 1e-30).log2()).sum() / (pixels * torch.tensor(10.0).log2())
    assert set(terms) == {"segmentation", "entropy"}
    torch.testing.assert_close(terms["entropy"], 0.2 * entropy)
    torch.testing.assert_close(terms["segmentation"], functional.cross_entropy(network(image), mask))
    weight = network.segmentation_head[0].weight
    (found,) = torch.autograd.grad(terms["entropy"], weight)
    (wanted,) = torch.autograd.grad(0.2 * entropy, weight)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-7)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"EntropyMinimization\.weight is -1"):
        EntropyMinimization(-1)

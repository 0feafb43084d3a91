"""Entropy maps against the formula of the paper, in numpy."""

import numpy as np
import pytest
import torch

from strategies.components.entropy import normalized_entropy, robust_entropy, self_information


@pytest.mark.parametrize("classes", [2, 7])
def test_values_are_the_papers(classes: int) -> None:
    logits = torch.randn(2, classes, 4, 5, generator=torch.Generator().manual_seed(0)) * 3
    raw = np.exp(logits.double().numpy())
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    information = -probabilities * np.log2(probabilities) / np.log2(classes)
    np.testing.assert_allclose(self_information(logits).numpy(), information, rtol=1e-4, atol=1e-7)
    assert float(normalized_entropy(logits)) == pytest.approx(information.sum(axis=1).mean(), rel=1e-5)


def test_an_even_guess_is_one_and_certainty_zero() -> None:
    assert float(normalized_entropy(torch.zeros(1, 5, 2, 2))) == pytest.approx(1)
    sure = torch.zeros(1, 5, 2, 2)
    sure[:, 0] = 1e4
    assert float(normalized_entropy(sure)) == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_computes_in_float32(dtype: torch.dtype) -> None:
    logits = (torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 40).to(dtype).requires_grad_()
    found = self_information(logits)
    assert found.dtype == torch.float32 and found.isfinite().all() and (found >= 0).all()
    found.sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_the_robust_entropy_is_that_of_fda() -> None:
    logits = torch.randn(2, 7, 4, 5, generator=torch.Generator().manual_seed(0)) * 3
    raw = np.exp(logits.double().numpy())
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    entropy = -(probabilities * np.log(probabilities)).sum(axis=1) / np.log(7)
    assert float(robust_entropy(logits)) == pytest.approx(((entropy**2 + 1e-8) ** 2).mean(), rel=1e-5)
    sure = torch.zeros(1, 7, 2, 2)
    sure[:, 0] = 1e4
    sure.requires_grad_()
    found = robust_entropy(sure)
    found.backward()
    assert 0 < float(found.detach()) < 1e-15
    assert sure.grad is not None and sure.grad.isfinite().all()

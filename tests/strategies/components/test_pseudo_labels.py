"""Pseudo-labels, their loss and their shares against numpy and loops."""

import math

import numpy as np
import pytest
import torch

from strategies.components.pseudo_labels import class_shares, pseudo_labels, weighted_cross_entropy

LOGITS = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0)) * 3
LABELS = torch.randint(0, 4, (2, 3, 5), generator=torch.Generator().manual_seed(1))
LABELS[0, 0, :3] = 255
WEIGHTS = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(2))
WEIGHTS[1, 2] = 0


def test_labels_are_the_likeliest_classes_and_confidence_their_probability() -> None:
    raw = np.exp(LOGITS.double().numpy())
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    labels, confidence = pseudo_labels(LOGITS.clone().requires_grad_())
    assert labels.dtype == torch.int64 and not confidence.requires_grad
    assert np.array_equal(labels.numpy(), probabilities.argmax(axis=1))
    np.testing.assert_allclose(confidence.numpy(), probabilities.max(axis=1), rtol=1e-5)


def test_half_precision_logits_have_float32_confidence() -> None:
    """In half precision 0.968 would be any of 0.9668 to 0.9707."""
    logits = LOGITS.bfloat16()
    _, confidence = pseudo_labels(logits)
    assert confidence.dtype == torch.float32
    torch.testing.assert_close(confidence, logits.float().softmax(1).amax(1), rtol=0, atol=0)


def test_the_loss_and_its_gradient_are_those_of_a_loop_over_the_pixels() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = weighted_cross_entropy(logits, LABELS, WEIGHTS)
    loss.backward()
    total, gradient, pixels = 0.0, np.zeros(LOGITS.shape), LABELS.numel()
    for image, row, column in np.ndindex(*LABELS.shape):
        label, weight = int(LABELS[image, row, column]), float(WEIGHTS[image, row, column])
        raw = [math.exp(float(one)) for one in LOGITS[image, :, row, column]]
        if label == 255:
            continue
        total -= weight * math.log(raw[label] / sum(raw)) / pixels
        for of in range(4):
            gradient[image, of, row, column] = weight * (raw[of] / sum(raw) - (of == label)) / pixels
    assert loss.item() == pytest.approx(total, rel=1e-5)
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), gradient, rtol=1e-4, atol=1e-8)


def test_the_loss_on_half_precision_logits_is_computed_in_float32() -> None:
    logits = LOGITS.bfloat16()
    loss = weighted_cross_entropy(logits, LABELS, WEIGHTS)
    torch.testing.assert_close(loss, weighted_cross_entropy(logits.float(), LABELS, WEIGHTS), rtol=0, atol=0)


@pytest.mark.parametrize("nothing", ["labels", "weights"])
def test_where_nothing_counts_the_loss_and_its_gradient_are_zero(nothing: str) -> None:
    logits = LOGITS.clone().requires_grad_()
    labels = torch.full_like(LABELS, 255) if nothing == "labels" else LABELS
    weights = torch.zeros_like(WEIGHTS) if nothing == "weights" else WEIGHTS
    loss = weighted_cross_entropy(logits, labels, weights)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None and not logits.grad.any()


def test_shares_are_of_all_pixels() -> None:
    labels = torch.tensor([[[0, 0, 2], [2, 2, 3]]])
    counted = torch.tensor([[[True, False, True], [True, True, False]]])
    assert class_shares(labels, counted, 5).tolist() == pytest.approx([1 / 6, 0, 3 / 6, 0, 0])

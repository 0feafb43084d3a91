"""Discriminators: their losses and accuracies written out, and who gets a gradient."""

import math

import pytest
import torch

from strategies.components.discriminator import (
    SOURCE,
    TARGET,
    FeatureDiscriminator,
    domain_accuracy,
    domain_loss,
    judge,
)

ANSWERS = torch.tensor([-2.0, -0.1, 0.2, 0.6, 3.0]).view(1, 1, 1, 5)


def test_vanilla_is_the_binary_cross_entropy() -> None:
    probabilities = [1 / (1 + math.exp(-one)) for one in ANSWERS.flatten().tolist()]
    of_target = -sum(math.log(p) for p in probabilities) / 5
    of_source = -sum(math.log(1 - p) for p in probabilities) / 5
    assert float(domain_loss(ANSWERS, TARGET, "vanilla")) == pytest.approx(of_target, rel=1e-5)
    assert float(domain_loss(ANSWERS, SOURCE, "vanilla")) == pytest.approx(of_source, rel=1e-5)


def test_least_squares_is_the_squared_distance_to_the_label() -> None:
    answers = ANSWERS.flatten().tolist()
    assert float(domain_loss(ANSWERS, TARGET, "least_squares")) == pytest.approx(sum((a - 1) ** 2 for a in answers) / 5)
    assert float(domain_loss(ANSWERS, SOURCE, "least_squares")) == pytest.approx(sum(a**2 for a in answers) / 5)


def test_the_middle_between_the_labels_decides_who_is_right() -> None:
    # Logits part at 0, answers that shall be 0 or 1 at one half.
    assert float(domain_accuracy(ANSWERS, TARGET, "vanilla")) == pytest.approx(3 / 5)
    assert float(domain_accuracy(ANSWERS, SOURCE, "vanilla")) == pytest.approx(2 / 5)
    assert float(domain_accuracy(ANSWERS, TARGET, "least_squares")) == pytest.approx(2 / 5)
    assert float(domain_accuracy(ANSWERS, SOURCE, "least_squares")) == pytest.approx(3 / 5)


@pytest.mark.parametrize("still", [True, False])
def test_a_still_discriminator_hands_the_gradient_on_and_keeps_none(still: bool) -> None:
    discriminator = FeatureDiscriminator(4)
    maps = torch.randn(2, 4, 3, 3, requires_grad=True)
    assert torch.equal(judge(discriminator, maps, still=still), discriminator(maps))
    judge(discriminator, maps, still=still).sum().backward()
    assert maps.grad is not None and maps.grad.abs().max() > 0
    assert all((parameter.grad is None) == still for parameter in discriminator.parameters())

"""Groups, schedule and optimizer."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD

from lightning_app.optimization import (
    PolynomialDecay,
    check_groups,
    held_back,
    make_optimizer,
    scale_at,
    scale_encoder,
    without_gradients,
)
from strategies import ParameterGroup, Step


def test_the_schedule_warms_up_and_decays_to_zero() -> None:
    schedule = PolynomialDecay(power=1.0, warmup_steps=10, warmup_start=0.1)
    assert schedule.factor(0, 100) == pytest.approx(0.1)
    assert schedule.factor(5, 100) == pytest.approx(0.95 * 0.55)
    assert schedule.factor(10, 100) == pytest.approx(0.9)
    assert schedule.factor(100, 100) == 0
    assert PolynomialDecay(power=0.9).factor(50, 100) == pytest.approx(0.5**0.9)
    assert PolynomialDecay(power=0.0).factor(99, 100) == 1


def test_a_decay_longer_than_the_run_is_stopped_on_its_way() -> None:
    schedule = PolynomialDecay(power=0.9, warmup_steps=10, warmup_start=0.5, decay_steps=250)
    assert schedule.factor(0, 150) == pytest.approx(0.5)
    assert schedule.factor(100, 150) == pytest.approx(0.6**0.9)
    assert schedule.factor(150, 150) == pytest.approx(0.4**0.9)


def test_a_decay_shorter_than_the_run_is_refused() -> None:
    layer = nn.Linear(2, 2)
    groups: list[ParameterGroup] = [{"name": "all", "params": list(layer.parameters())}]
    for steps in (99, 0, -5):
        with pytest.raises(ValueError, match=rf"schedule.decay_steps is {steps}, but the run has 100 steps"):
            make_optimizer(groups, SGD, PolynomialDecay(decay_steps=steps), 100, lambda index: Step(index, 100))
    make_optimizer(groups, SGD, PolynomialDecay(decay_steps=100), 100, lambda index: Step(index, 100))


@pytest.mark.parametrize("wrong", [{"power": -1}, {"warmup_steps": -1}, {"warmup_start": 2.0}])
def test_a_schedule_without_a_meaning_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="has no meaning"):
        PolynomialDecay(**wrong)  # type: ignore[arg-type]


def test_each_group_has_its_scale_in_one_schedule() -> None:
    first, second, third, fourth = (nn.Parameter(torch.ones(1)) for _ in range(4))
    optimizer, scheduler = make_optimizer(
        [
            {"name": "encoder", "params": [first], "lr_scale": 0.1},
            {"name": "decoder", "params": [second]},
            {"name": "thawed", "params": [third], "lr_scale": lambda step: float(step.index >= 2), "weight_decay": 0.0},
            {"name": "discriminator", "params": [fourth], "lr": 0.2},
        ],
        lambda groups: SGD(groups, lr=1.0, weight_decay=0.5),
        PolynomialDecay(power=1.0),
        total_steps=4,
        step_at=lambda index: Step(index, 4),
    )
    rates = []
    for _ in range(4):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    expected = [[0.1, 1.0, 0.0, 0.2], [0.075, 0.75, 0.0, 0.15], [0.05, 0.5, 0.5, 0.1], [0.025, 0.25, 0.25, 0.05]]
    torch.testing.assert_close(torch.tensor(rates), torch.tensor(expected))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.5, 0.0, 0.5]


def test_the_encoder_is_scaled_wherever_it_is_and_nothing_else() -> None:
    encoder, head, adversary, copied = nn.Linear(2, 2), nn.Linear(2, 1), nn.Linear(1, 1), nn.Linear(2, 2)
    groups: list[ParameterGroup] = [
        # Beside the encoder's alone: a strategy's copy of it, which learns as it does.
        {"name": "thawed", "params": [encoder.bias, copied.bias], "lr_scale": lambda step: 0.5 * (step.index >= 2)},
        {"name": "mixed", "params": [encoder.weight, *head.parameters()], "lr_scale": 3.0, "weight_decay": 0.2},
        {"name": "adversary", "params": list(adversary.parameters()), "lr": 7.0},
    ]
    copied.weight.requires_grad_(False)
    network: Any = nn.ModuleDict({"encoder": encoder, "head": head})
    assert scale_encoder(groups, network, 1.0) == groups
    scaled = scale_encoder(groups, network, 0.1)
    check_groups(scaled, network, adversary, copied)
    assert scaled[0]["params"] == [encoder.bias, copied.bias]
    for index, thawed in ((1, 0.0), (2, 0.05)):
        rates = {group["name"]: scale_at(group, Step(index, 9)) for group in scaled}
        assert rates == pytest.approx({"thawed": thawed, "mixed.encoder": 0.3, "mixed": 3.0, "adversary": 1.0})
    assert [group.get("weight_decay") for group in scaled] == [None, 0.2, 0.2, None]
    assert scaled[-1]["lr"] == 7.0


def test_groups_that_miss_repeat_or_invent_a_parameter_are_refused() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="leaves out 1 trainable parameters, such as bias"):
        check_groups([{"name": "a", "params": [layer.weight]}], layer)
    with pytest.raises(ValueError, match="weight is in group 'a' and again in 'b'"):
        check_groups([{"name": "a", "params": [layer.weight]}, {"name": "b", "params": [layer.weight]}], layer)
    with pytest.raises(ValueError, match="which is not trained here"):
        check_groups([{"name": "a", "params": [*layer.parameters(), nn.Parameter(torch.ones(1))]}], layer)
    layer.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing would be trained"):
        check_groups([], layer)


def test_two_groups_of_one_name_are_refused() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="two groups are named 'a'"):
        check_groups([{"name": "a", "params": [layer.weight]}, {"name": "a", "params": [layer.bias]}], layer)


def test_what_is_held_back_gets_no_gradient_and_requires_one_again_afterwards() -> None:
    first, second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    groups: list[ParameterGroup] = [
        {"name": "first", "params": [first.weight], "lr_scale": lambda step: float(step.epoch >= 1)},
        {"name": "second", "params": [second.weight]},
    ]
    assert held_back(groups, Step(7, 9, epoch=1)) == []
    with pytest.raises(RuntimeError, match="an error of the method"), without_gradients(held_back(groups, Step(3, 9))):
        second(first(torch.ones(1, 2))).sum().backward()
        raise RuntimeError("an error of the method")
    assert first.weight.grad is None and second.weight.grad is not None
    assert first.weight.requires_grad

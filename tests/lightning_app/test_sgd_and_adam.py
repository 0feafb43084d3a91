"""SGD and Adam as one optimizer."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

from lightning_app.sgd_and_adam import SGDAndAdam


def both(network: nn.Module, adversary: nn.Module) -> SGDAndAdam:
    return SGDAndAdam(
        [
            {"params": list(network.parameters())},
            {"params": list(adversary.parameters()), "lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.0},
        ],
        lr=0.1,
        momentum=0.9,
        weight_decay=0.05,
    )


@pytest.mark.parametrize("resumed", [False, True])
def test_each_group_moves_as_under_the_optimizer_of_its_own(resumed: bool) -> None:
    torch.manual_seed(0)
    network, adversary = nn.Linear(3, 4), nn.Linear(4, 1)
    wanted_network, wanted_adversary = deepcopy(network), deepcopy(adversary)
    made = both(network, adversary)
    apart = [
        SGD(wanted_network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.05),
        Adam(wanted_adversary.parameters(), lr=0.01, betas=(0.9, 0.99)),
    ]
    for index in range(4):
        images = torch.randn(5, 3)
        made.zero_grad()
        adversary(network(images)).square().mean().backward()
        made.step()
        for one in apart:
            one.zero_grad()
        wanted_adversary(wanted_network(images)).square().mean().backward()
        for one in apart:
            one.step()
        if resumed and index == 1:
            saved = deepcopy(made.state_dict())
            made = both(network, adversary)
            made.load_state_dict(saved)
    for found, wanted in ((network, wanted_network), (adversary, wanted_adversary)):
        for name, parameter in found.named_parameters():
            assert torch.equal(parameter, wanted.get_parameter(name)), name


def test_what_has_no_gradient_stays_and_keeps_no_count() -> None:
    network, adversary = nn.Linear(3, 4), nn.Linear(4, 1)
    before = deepcopy(adversary.state_dict())
    made = both(network, adversary)
    network(torch.ones(1, 3)).sum().backward()
    made.step()
    assert all(torch.equal(value, before[name]) for name, value in adversary.state_dict().items())
    assert not any(made.state[parameter] for parameter in adversary.parameters() if parameter in made.state)


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"SGDAndAdam.momentum is -1; give 0 or a positive number"):
        SGDAndAdam(nn.Linear(2, 2).parameters(), momentum=-1)

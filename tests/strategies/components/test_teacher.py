"""A mean teacher against its update written out, and the modes in which it answers."""

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from strategies.components.teacher import Teacher


class Halved(nn.Module):
    """Drops a branch in its own code, as some encoders do."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps / 2 if self.training else maps


def make_network(seed: int = 0, *layers: nn.Module) -> Any:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), *layers)


def learn(network: nn.Module, seed: int) -> None:
    """Any change of all parameters and buffers."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator))
            else:
                value.add_(3)


def test_an_update_is_the_papers_average_of_parameters_and_buffers_and_copies_integers() -> None:
    network = make_network()
    teacher = Teacher(network, 0.7)
    averages = {name: value.double().numpy().copy() for name, value in network.state_dict().items()}
    for iteration in range(6):
        learn(network, iteration)
        teacher.update(network, iteration)
        alpha = [0, 1 / 2, 2 / 3, 0.7, 0.7, 0.7][iteration]  # min(1 − 1 / (iteration + 1), 0.7)
        for name, value in network.state_dict().items():
            averages[name] = alpha * averages[name] + (1 - alpha) * value.double().numpy()
    found = teacher.network.state_dict()
    assert found.keys() == averages.keys()
    assert int(found["1.num_batches_tracked"]) == int(network[1].num_batches_tracked) == 18
    for name in averages.keys() - {"1.num_batches_tracked"}:
        np.testing.assert_allclose(found[name].numpy(), averages[name], rtol=1e-5)


def test_the_first_update_copies_and_one_of_a_resumed_run_does_not() -> None:
    network = make_network()
    teacher, resumed = Teacher(network, 0.99), Teacher(make_network(1), 0.99)
    learn(network, 0)
    teacher.update(network, 0)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in teacher.network.state_dict().items())
    resumed.load_state_dict(teacher.state_dict())
    learn(network, 1)
    resumed.update(network, 500)
    before, after = (one.network.state_dict()["0.weight"] for one in (teacher, resumed))
    torch.testing.assert_close(after, 0.99 * before + 0.01 * network[0].weight)


def test_it_follows_the_network_without_being_it_or_needing_gradients() -> None:
    network = make_network()
    teacher = Teacher(network, 0.9)
    learn(network, 0)
    assert not torch.equal(teacher.network.state_dict()["0.weight"], network[0].weight)
    assert list(teacher.parameters()) and not any(one.requires_grad for one in teacher.parameters())
    image = torch.rand(2, 3, 4, 4).requires_grad_()
    assert not teacher.logits(network, image).requires_grad


def test_it_normalises_by_its_batch_and_its_statistics_become_the_batchs() -> None:
    network = make_network().train()
    teacher = Teacher(network, 0.9)
    image = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    maps = network[0](image).detach()
    mean, variance = maps.mean(dim=(0, 2, 3)), maps.var(dim=(0, 2, 3), unbiased=False)
    wanted = (maps - mean[:, None, None]) / (variance + 1e-5).sqrt()[:, None, None]
    torch.testing.assert_close(teacher.logits(network, image), wanted)
    assert torch.equal(network[1].running_mean, torch.zeros(4))
    torch.testing.assert_close(teacher.network.get_buffer("1.running_mean"), 0.1 * mean)


def test_nine_tenths_of_its_statistics_come_from_its_own_batches() -> None:
    network = make_network().train()
    teacher = Teacher(network, 0.99)
    with torch.no_grad():
        network[1].running_mean.fill_(100.0)  # what the student has seen
    image = torch.ones(2, 3, 4, 4)
    seen = network[0](image).mean(dim=(0, 2, 3)).detach()
    for iteration in range(400):
        teacher.logits(network, image)
        teacher.update(network, iteration)
    share = 0.01 / (1 - 0.99 * 0.9)
    torch.testing.assert_close(
        teacher.network.get_buffer("1.running_mean"), (1 - share) * seen + share * 100, rtol=0.01, atol=0
    )


def test_still_normalisation_of_the_network_is_still_in_the_teacher() -> None:
    network = make_network().train()
    network[1].eval()
    teacher = Teacher(network, 0.9)
    image = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(teacher.logits(network, image), network(image).detach())
    assert torch.equal(teacher.network.get_buffer("1.running_mean"), torch.zeros(4))
    network.train()
    assert not torch.allclose(teacher.logits(network, image), network[0](image).detach(), atol=1e-3)


@pytest.mark.parametrize("dropout", [True, False])
def test_dropout_and_dropped_branches_are_as_wanted_while_normalisation_goes_by_the_batch(dropout: bool) -> None:
    network = make_network(0, nn.Dropout2d(0.5), Halved()).train()
    teacher = Teacher(network, 0.9, dropout)
    image = torch.rand(8, 3, 4, 4)
    answer = teacher.logits(network, image)
    whole = network[1](network[0](image)).detach()  # dropout doubles what it keeps, the branch halves it
    dropped = (answer == 0).all(dim=3).all(dim=2)
    assert dropped.any() == dropout
    torch.testing.assert_close(answer[~dropped], whole[~dropped])
    if not dropout:
        torch.testing.assert_close(answer, whole)


def test_in_evaluation_the_teacher_evaluates() -> None:
    segmenter = tiny.make_segmenter(None).eval()
    network: Any = segmenter.network
    teacher = Teacher(network, 0.9).train()
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(teacher.logits(network, image), network(image).detach())

"""BatchNorm's statistics counted anew: against numpy over all pixels, layer by layer."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from strategies.components.batch_statistics import batch_norms, recompute_statistics, statistics_held
from strategies.components.freezing import stand_still


@pytest.fixture
def network() -> Any:
    return tiny.make_segmenter(None).network


@pytest.fixture
def images() -> list[Tensor]:
    """Of three sizes and levels of grey, one of which needs padding."""
    torch.manual_seed(1)
    return [
        level + 0.2 * torch.rand(1, 3, *size) for level, size in [(0.1, (32, 48)), (0.4, (40, 33)), (0.7, (64, 32))]
    ]


def given(network: nn.Module, images: list[Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    """What each BatchNorm is given, (channels, pixels of all images), where each image is normalised by itself."""
    network = deepcopy(network).eval()
    seen: dict[str, list[np.ndarray[Any, Any]]] = {}

    def note(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen.setdefault(name, []).append(inputs[0][0].detach().flatten(1).double().numpy())

        return hook

    for name, layer in batch_norms(network).items():
        layer.train()
        layer.register_forward_pre_hook(note(name))
    for image in images:
        network(image)
    return {name: np.concatenate(parts, axis=1) for name, parts in seen.items()}


def test_they_are_mean_and_variance_of_all_pixels_in_every_layer(network: Any, images: list[Tensor]) -> None:
    wanted = given(network, images)
    before = deepcopy(network.state_dict())
    recompute_statistics(network, iter(images))
    assert wanted.keys() == batch_norms(network).keys() and len(wanted) > 5
    for name, values in wanted.items():
        layer: Any = network.get_submodule(name)
        np.testing.assert_allclose(layer.running_mean.numpy(), values.mean(axis=1), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(layer.running_var.numpy(), values.var(axis=1, ddof=1), rtol=1e-4)
    kept = [name for name in before if "running_" not in name]
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in kept)


def test_many_pixels_far_from_zero_lose_no_digits() -> None:
    layer = nn.BatchNorm2d(1, momentum=None)
    torch.manual_seed(0)
    images = [1000 + torch.randn(1, 1, 64, 64) for _ in range(20)]
    recompute_statistics(nn.Sequential(layer), images)
    values = torch.cat(images, dim=0).double()
    assert layer.running_mean is not None and layer.running_var is not None
    torch.testing.assert_close(layer.running_mean.double(), values.mean().reshape(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(layer.running_var.double(), values.var().reshape(1), rtol=1e-4, atol=0)


def test_a_network_that_has_run_compiled_is_counted_like_any_other() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).eval()
    other, images = deepcopy(network), [torch.rand(1, 3, 4, 4) for _ in range(2)]
    network.compile(backend="eager")
    with torch.no_grad():
        network(images[0])
    for one in (network, other):
        recompute_statistics(one, images)
    assert all(torch.equal(found, wanted) for found, wanted in zip(network.buffers(), other.buffers(), strict=True))
    torch.testing.assert_close(network(images[1]), other(images[1]))


def test_neither_order_nor_dropout_nor_the_modes_count(network: Any, images: list[Tensor]) -> None:
    other = deepcopy(network).train()
    other.decoder.eval()
    still = other.encoder.model.bn1
    stand_still(still, True)
    modes = [module.training for module in other.modules()]
    start = still.running_mean.clone()
    recompute_statistics(network, images)
    recompute_statistics(other, images[::-1])
    assert [module.training for module in other.modules()] == modes
    assert not torch.equal(still.running_mean, start), "a layer that stands still gets the statistics too"
    for name, layer in batch_norms(network).items():
        torch.testing.assert_close(other.get_submodule(name).running_var, layer.running_var, rtol=1e-4, atol=1e-7)


class Pooled(nn.Module):
    """Normalises one value a channel and hands it on."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.last, self.unused = nn.BatchNorm2d(2), nn.BatchNorm2d(2), nn.BatchNorm2d(2)

    def forward(self, image: Tensor) -> Tensor:
        pooled: Tensor = self.norm(image.mean(dim=(2, 3), keepdim=True))
        last: Tensor = self.last(image + pooled)
        return last


def test_a_single_value_a_channel_is_normalised_by_the_statistics_there_were() -> None:
    network = Pooled()
    norm: Any = network.norm
    norm.running_mean.fill_(3.0)
    norm.running_var.fill_(4.0)
    torch.manual_seed(0)
    images = [torch.rand(1, 2, 4, 4) * scale for scale in (1, 2, 3)]
    pooled = torch.cat([image.mean(dim=(2, 3), keepdim=True) for image in images])
    last = [image + (one - 3) / (4 + norm.eps) ** 0.5 for image, one in zip(images, pooled, strict=True)]
    recompute_statistics(network, images)
    torch.testing.assert_close(norm.running_mean, pooled.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(norm.running_var, pooled.var(dim=(0, 2, 3)))
    torch.testing.assert_close(network.last.running_mean, torch.cat(last).mean(dim=(0, 2, 3)))
    assert network.unused.running_mean is not None and network.unused.running_mean.tolist() == [0, 0]
    with pytest.raises(ValueError, match="norm saw one value a channel in all images"):
        recompute_statistics(network, images[:1])


def test_without_an_image_nothing_is_counted(network: Any) -> None:
    with pytest.raises(ValueError, match="no image on any rank"):
        recompute_statistics(network, [])


def test_a_pass_that_fails_leaves_all_as_it_was(network: Any, images: list[Tensor]) -> None:
    before = deepcopy(network.state_dict())
    network.train()
    with pytest.raises(ValueError, match="takes"):
        recompute_statistics(network, [*images, torch.rand(1, 4, 32, 32)])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert not any(layer._forward_pre_hooks for layer in batch_norms(network).values())


def test_held_statistics_do_not_move_and_normalisation_is_by_the_batch(network: Any, images: list[Tensor]) -> None:
    network.train()
    other = deepcopy(network)
    before = {name: value.clone() for name, value in network.named_buffers()}
    torch.manual_seed(0)
    with statistics_held(network):
        logits = network(images[0])
    torch.manual_seed(0)
    assert torch.equal(logits, other(images[0]))
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    with pytest.raises(RuntimeError, match="stop"), statistics_held(network):
        raise RuntimeError("stop")
    network(images[0])
    moved = dict(other.named_buffers())
    assert all(torch.equal(value, moved[name]) for name, value in network.named_buffers())

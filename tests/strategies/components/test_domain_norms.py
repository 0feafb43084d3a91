"""Two sets of BatchNorm for one network: what is in which, and what comes back."""

from copy import deepcopy
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from strategies.components.batch_statistics import batch_norms
from strategies.components.domain_network import DomainNetwork
from strategies.components.domain_norms import DomainNorms


@pytest.fixture
def network() -> Any:
    return tiny.make_segmenter(None).network.eval()


def disturbed(network: Any, affine: Any) -> tuple[DomainNorms, Any]:
    """A set of chance for the network, and a network of its own that has it."""
    norms = DomainNorms(network, affine)
    torch.manual_seed(1)
    for value in norms.state_dict().values():
        if value.is_floating_point():
            value.copy_(0.5 + torch.rand_like(value))
    own = deepcopy(network)
    for layer, held in zip(batch_norms(own).values(), norms.sets, strict=True):
        layer.load_state_dict({**layer.state_dict(), **held.state_dict()})
    return norms, own


def image(seed: int) -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("affine", ["shared", "separate"])
def test_it_is_in_the_network_for_the_time_of_a_forward(affine: str, network: Any) -> None:
    norms, own = disturbed(network, affine)
    before, answer = deepcopy(network.state_dict()), network(image(0))
    found = norms.applied_to(network)(image(0))
    assert torch.equal(found, own(image(0))) and not torch.allclose(found, answer)
    with pytest.raises(RuntimeError, match="stop"), norms.swapped_into(network):
        raise RuntimeError("stop")
    assert torch.equal(network(image(0)), answer)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_shared_scales_are_held_once_and_separate_ones_start_equal(network: Any) -> None:
    network.encoder.model.bn1.requires_grad_(False)
    assert not list(DomainNorms(network, "shared").parameters())
    assert not DomainNorms(network, "shared").counterparts(network)
    norms = DomainNorms(network, "separate")
    twins = norms.counterparts(network)
    assert set(twins.values()) == set(norms.parameters())
    assert twins.keys() == {p for layer in batch_norms(network).values() for p in layer.parameters(recurse=False)}
    for own, twin in twins.items():
        assert torch.equal(own, twin) and own is not twin and own.requires_grad == twin.requires_grad


def test_the_batchs_own_source_images_pass_through_it_and_nothing_else(network: Any) -> None:
    norms, own = disturbed(network, "separate")
    source, other = image(0), image(1)
    aware = DomainNetwork(network, norms, source)
    assert not (aware.met_source or aware.met_others or aware.decoded_others)
    assert torch.equal(aware(source), own(source))
    assert aware.met_source and not aware.met_others
    # Both domains' maps at once, as of terms that share a graph.
    of_source, of_other = aware.features(source), aware.features(other)
    assert aware.met_others and not aware.decoded_others
    assert torch.equal(aware.decode(of_source, (32, 32)), own(source)) and not aware.decoded_others
    assert torch.equal(aware.decode(of_other, (32, 32)), network(other)) and aware.decoded_others
    assert torch.equal(aware(source.clone()), network(source))
    assert torch.equal(aware.to_image_size(of_other[-1], (32, 32)), network.to_image_size(of_other[-1], (32, 32)))
    assert aware.mean is network.mean


def test_maps_are_not_kept(network: Any) -> None:
    """They are most of what a term holds in memory."""
    aware = DomainNetwork(network, disturbed(network, "shared")[0], source := image(0))
    maps = aware.features(source)
    del maps
    assert [known() for known in aware._maps] == [None] * len(aware._maps) != []

"""Partial freezing: which parts train, when, how fast, and how hard they are pulled back."""

import math
from typing import Any

import pytest
import tiny
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec
from lightning_app.optimization import scale_at
from strategies import AdaptiveBatchNorm, EntropyMinimization, PartialFreezing, SourceOnly, Step
from strategies.components.freezing import parts

CLASSES = ["road", "car"]


@pytest.fixture
def network() -> SegmentationNetwork:
    torch.manual_seed(0)
    options = {"encoder_depth": 4, "decoder_channels": [16, 16, 8, 8]}
    return SegmentationNetwork(NetworkSpec("Unet", "resnet18", CLASSES, options=options))


def built(network: SegmentationNetwork, **arguments: Any) -> PartialFreezing:
    strategy = PartialFreezing(**{"base": SourceOnly(), **arguments})
    strategy.build(network, CLASSES)
    return strategy


def trained(network: SegmentationNetwork) -> set[str]:
    """The first two words of the names of what trains."""
    return {".".join(name.split(".")[:2]) for name, p in network.named_parameters() if p.requires_grad}


RESNET = ["encoder.conv1", "encoder.bn1", "encoder.layer1", "encoder.layer2", "encoder.layer3"]


def test_the_stages_of_a_resnet_are_its_layers(network: SegmentationNetwork) -> None:
    found = {part: {".".join(name.split(".")[:2]) for name in names} for part, names in parts(network).items()}
    assert list(found) == ["encoder.0", "encoder.1", "encoder.2", "encoder.3", "decoder", "head"]
    assert found["encoder.0"] == {"encoder.conv1", "encoder.bn1"}
    # Layer 4 exists, but no map of an encoder of depth 4 depends on it.
    assert found["encoder.3"] >= {"encoder.layer3"} and found["encoder.2"] == {"encoder.layer2"}
    assert sorted(name for names in parts(network).values() for name in names) == sorted(
        name for name, _ in network.named_parameters()
    )


def test_finding_the_stages_leaves_no_trace(network: SegmentationNetwork) -> None:
    network.encoder.requires_grad_(False)
    network.decoder.eval()
    flags = [parameter.requires_grad for parameter in network.parameters()]
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    chance = torch.get_rng_state()
    with torch.inference_mode():
        network.stages()
    assert [parameter.requires_grad for parameter in network.parameters()] == flags
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), chance) and all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(
    ("architecture", "encoder", "stages"),
    [
        ("Segformer", "mit_b0", 4),
        ("Unet", "efficientnet-b0", 5),
        ("PSPNet", "resnet18", 3),
        ("DPT", "tu-test_vit", 4),
        ("FPN", "tu-coatnet_pico_rw_224", 5),  # takes images of its own size only, and does not say so
    ],
)
def test_every_kind_of_encoder_has_stages(architecture: str, encoder: str, stages: int) -> None:
    network = SegmentationNetwork(NetworkSpec(architecture, encoder, CLASSES))
    found = parts(network)
    assert list(found) == [*(f"encoder.{number}" for number in range(stages)), "decoder", "head"]
    assert sorted(name for names in found.values() for name in names) == sorted(
        name for name, _ in network.named_parameters()
    )


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        (["head"], {"segmentation_head.0"}),
        (["decoder", "head"], {"decoder", "segmentation_head.0"}),
        (["encoder.1"], {"encoder.layer1"}),
        (["encoder.layer3.*", "head"], {"encoder.layer3", "segmentation_head.0"}),
        (["*.bn1.bias"], {"encoder.bn1", "encoder.layer1", "encoder.layer2", "encoder.layer3"}),
        (1 / 3, {"decoder", "segmentation_head.0"}),
        (0.4, {"decoder", "encoder.layer3", "segmentation_head.0"}),
    ],
)
def test_parts_patterns_and_shares_say_what_trains(
    train: Any, expected: set[str], network: SegmentationNetwork
) -> None:
    built(network, train=train)
    found = {name.split(".")[0] if name.startswith("decoder") else name for name in trained(network)}
    assert found - {"encoder.layer4"} == expected


def test_the_encoder_is_all_its_stages(network: SegmentationNetwork) -> None:
    built(network, train=["encoder"])
    assert trained(network) == {*RESNET, "encoder.layer4"}


def test_affine_trains_every_normalisation_and_no_other_weight(network: SegmentationNetwork) -> None:
    strategy = built(network, train=["head"], affine=True)
    norms = {
        f"{name}.{own}"
        for name, layer in network.named_modules()
        if isinstance(layer, _NormBase)
        for own in ("weight", "bias")
    }
    head = {name for name, _ in network.named_parameters() if name.startswith("segmentation_head")}
    assert {name for name, p in network.named_parameters() if p.requires_grad} == norms | head
    network.train()
    strategy.train_mode(network, Step(0, 1))
    assert not any(layer.training for layer in network.modules() if isinstance(layer, _NormBase))


def scales(strategy: PartialFreezing, network: SegmentationNetwork, step: Step) -> dict[str, float]:
    return {group["name"]: scale_at(group, step) for group in strategy.parameter_groups(network)}


def test_parts_thaw_one_by_one_from_the_head_down(network: SegmentationNetwork) -> None:
    strategy = built(network, train=["head"], thaw=10)
    order = ["decoder", "encoder.3", "encoder.2", "encoder.1", "encoder.0"]
    for index in range(0, 60):
        found = scales(strategy, network, Step(index, 60))
        assert found == {"head": 1.0, **{part: float(index >= 10 * k) for k, part in enumerate(order, start=1)}}


def test_a_mapping_thaws_what_it_names_and_leaves_the_rest_frozen(network: SegmentationNetwork) -> None:
    strategy = built(network, thaw={"encoder.3": 4, "encoder.layer2.*": 6}, thaw_unit="epochs")
    assert scales(strategy, network, Step(500, 900, epoch=3)) == {
        "decoder": 1.0, "head": 1.0, "encoder.3": 0.0, "encoder.2": 0.0
    }  # fmt: skip
    assert scales(strategy, network, Step(500, 900, epoch=5))["encoder.3"] == 1
    assert scales(strategy, network, Step(500, 900, epoch=6))["encoder.2"] == 1
    assert not trained(network) & {"encoder.conv1", "encoder.layer1"}


def test_statistics_move_when_their_time_comes_though_their_scales_trained_before(network: SegmentationNetwork) -> None:
    strategy = built(network, train=["head"], affine=True, thaw={"encoder.bn1.*": 5})
    layer = network.encoder.get_submodule("bn1")
    network.train()
    for index, moves in [(0, False), (4, False), (5, True)]:
        strategy.train_mode(network, Step(index, 9))  # nothing else is held back, so nobody calls .train() in between
        assert layer.training == moves


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_entries_that_overlap_the_narrower_counts(order: int, network: SegmentationNetwork) -> None:
    entries = [("encoder.2", 3), ("encoder", 5)][::order]
    strategy = built(network, thaw=dict(entries))
    assert scales(strategy, network, Step(3, 9)) == {
        "decoder": 1.0, "head": 1.0, "encoder.2": 1.0, "encoder.0": 0.0, "encoder.1": 0.0, "encoder.3": 0.0
    }  # fmt: skip


def test_starts_within_a_part_are_told_apart_in_the_log(network: SegmentationNetwork) -> None:
    strategy = built(network, thaw={"encoder.layer2.*conv1*": 1, "encoder.layer2.*conv2*": 2})
    assert scales(strategy, network, Step(1, 9)) == {
        "decoder": 1.0, "head": 1.0, "encoder.2.from_1": 1.0, "encoder.2.from_2": 0.0
    }  # fmt: skip


def test_statistics_stand_still_until_the_turn_of_their_layer(network: SegmentationNetwork) -> None:
    strategy = built(network, train=["head"], thaw=10)
    for index, moving in [(0, set()), (10, {"decoder"}), (20, {"decoder", "layer3", "layer4"})]:
        network.train()
        strategy.train_mode(network, Step(index, 60))
        found = {name for name, layer in network.named_modules() if isinstance(layer, _NormBase) and layer.training}
        assert {name.split(".")[0 if name.startswith("decoder") else 1] for name in found} == moving


def test_rates_decay_from_the_head_towards_the_image(network: SegmentationNetwork) -> None:
    strategy = built(network, train=1.0, layer_decay=0.5)
    assert scales(strategy, network, Step(0, 1)) == {
        "head": 1, "decoder": 0.5, "encoder.3": 0.25, "encoder.2": 0.125, "encoder.1": 0.0625, "encoder.0": 0.03125
    }  # fmt: skip


def test_the_scale_of_the_base_is_multiplied(network: SegmentationNetwork) -> None:
    class Ramp(SourceOnly):
        def parameter_groups(self, network: Any) -> Any:
            groups = super().parameter_groups(network)
            for group in groups:
                group["lr_scale"] = lambda step: 0.1 * step.index
            return groups

    strategy = built(network, base=Ramp(), train=["head"], thaw={"decoder": 2}, layer_decay=0.5)
    assert scales(strategy, network, Step(1, 9)) == {"head": 0.1, "decoder": 0.0}
    assert scales(strategy, network, Step(4, 9)) == pytest.approx({"head": 0.4, "decoder": 0.2})


def test_the_pull_is_half_the_squared_distance_and_replaces_weight_decay(network: SegmentationNetwork) -> None:
    strategy = built(network, train=["decoder", "head"], l2_sp=0.3)
    start = {name: value.detach().clone() for name, value in network.named_parameters()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += torch.randn_like(parameter)
    image = torch.rand(2, 3, 32, 32)
    batch: Any = {"source": {"image": image, "mask": torch.zeros(2, 32, 32, dtype=torch.int64), "name": ["a", "b"]}}
    pull = next(named["l2_sp"] for named in strategy.losses(network, batch, Step(0, 1)) if "l2_sp" in named)
    own = {name: p for name, p in network.named_parameters() if not name.startswith("encoder")}
    wanted = math.fsum(float(((p.detach() - start[name]).double() ** 2).sum()) for name, p in own.items()) * 0.3 / 2
    assert float(pull.detach()) == pytest.approx(wanted, rel=1e-5)
    network.zero_grad()
    pull.backward()
    for name, parameter in own.items():
        torch.testing.assert_close(parameter.grad, 0.3 * (parameter - start[name]).detach())
    assert all(group["weight_decay"] == 0 for group in strategy.parameter_groups(network))
    # The starting weights are in the checkpoint: a resume must not take the weights it finds for them.
    assert sum(name.startswith("starting_weights") for name in strategy.state_dict()) == len(own)


def test_held_layers_cost_no_backward(make_trainer: Any) -> None:
    """Below the lowest part that trains, autograd keeps no graph at all."""
    seen: list[bool] = []

    class Looks(SourceOnly):
        def losses(self, network: Any, batch: Any, step: Any) -> Any:
            seen.extend(one.requires_grad for one in network.features(batch["source"]["image"]))
            yield from super().losses(network, batch, step)

    strategy = PartialFreezing(Looks(), train=["decoder", "head"], thaw={"encoder": 2})
    segmenter = tiny.make_segmenter(strategy)
    make_trainer(max_steps=3, limit_val_batches=0).fit(segmenter, tiny.make_data())
    maps = len(seen) // 3
    assert not any(seen[: 2 * maps]) and any(seen[2 * maps :])
    assert all(parameter.requires_grad for parameter in segmenter.network.parameters())


def test_any_train_call_leaves_frozen_statistics_alone(make_trainer: Any) -> None:
    class Careless(EntropyMinimization):
        def losses(self, network: Any, batch: Any, step: Any) -> Any:
            network.eval()
            network.train()  # as pseudo-labels are made
            yield from super().losses(network, batch, step)

        def after_step(self, network: Any, step: Any) -> None:
            network.train()

    segmenter = tiny.make_segmenter(PartialFreezing(Careless(), train=["head"]))
    before = {name: value.clone() for name, value in segmenter.network.named_buffers()}
    segmenter.train()
    trainer = make_trainer(max_steps=4, val_check_interval=2, check_val_every_n_epoch=None)
    trainer.fit(segmenter, tiny.make_data(batch_size=4))
    assert all(torch.equal(value, before[name]) for name, value in segmenter.network.named_buffers())


def test_the_step_of_a_late_part_is_the_first_step_of_its_moments(make_trainer: Any) -> None:
    """What a run without the wait does at its first step: Adam's moments begin when the part does."""
    segmenter = tiny.make_segmenter(PartialFreezing(SourceOnly(), train=["head"], thaw={"decoder": 2}))
    trainer = make_trainer(max_steps=3, limit_val_batches=0)
    trainer.fit(segmenter, tiny.make_data())
    state = trainer.optimizers[0].state
    counts = {name: int(state[p]["step"]) for name, p in segmenter.network.named_parameters() if p in state}
    assert {count for name, count in counts.items() if name.startswith("segmentation_head")} == {3}
    assert {count for name, count in counts.items() if name.startswith("decoder")} == {1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": ["encoder.9"]}, r"names 'encoder.9', which is no part.* The parts are encoder.0, .*, decoder, head"),
        ({"train": []}, "train is empty: name at least one part, or set affine"),
        ({"base": PartialFreezing(SourceOnly())}, r"PartialFreezing\(PartialFreezing\(SourceOnly\)\) freezes twice"),
        (
            {"base": AdaptiveBatchNorm(EntropyMinimization(), "per_domain")},
            r"would not be frozen\. Put it around: AdaptiveBatchNorm\(PartialFreezing\(…\)\)",
        ),
        ({"train": 0.0}, "as a share of the parts it is in"),
        ({"train": 1.0, "thaw": 5}, "every part trains from the start"),
        ({"thaw": {"head": 5}}, "names 'head', which trains from the start"),
        ({"thaw": {"encoder.1": 0}}, "steps are counted from 1"),
        ({"thaw": 0, "thaw_unit": "epochs"}, "epochs are counted from 1"),
        ({"layer_decay": 1.5}, "layer_decay is 1.5; it is in"),
        ({"l2_sp": -1.0}, "l2_sp is -1.0"),
    ],
)
def test_settings_without_a_meaning_are_refused(arguments: Any, message: str, network: SegmentationNetwork) -> None:
    with pytest.raises(ValueError, match=message):
        built(network, **arguments)


def test_what_the_base_froze_stays_frozen(network: SegmentationNetwork) -> None:
    class Frozen(SourceOnly):
        def build(self, network: Any, classes: Any) -> None:
            network.segmentation_head.requires_grad_(False)

    strategy = built(network, base=Frozen(), train=["decoder", "head"])
    assert "segmentation_head.0" not in trained(network)
    assert {group["name"] for group in strategy.parameter_groups(network)} == {"decoder"}


def test_a_wrapper_is_named_with_what_is_in_it(network: SegmentationNetwork) -> None:
    strategy = PartialFreezing(EntropyMinimization())
    assert strategy.name == "PartialFreezing(EntropyMinimization)"
    assert set(strategy.required_streams) == {"source", "target"} and strategy.teacher is None
    assert strategy.inference_network(network, "target") is network
    assert isinstance(strategy.base, nn.Module)

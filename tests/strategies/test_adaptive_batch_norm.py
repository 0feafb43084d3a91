"""AdaBN: whose statistics are where at the end, all along, and with a set for each domain."""

import warnings
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from datamodules import SyntheticStreets
from datamodules.batch import Batch
from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec
from lightning_app.optimization import check_groups
from strategies import (
    AdaptiveBatchNorm,
    AdversarialAlignment,
    EntropyMinimization,
    FineTune,
    Losses,
    MeanTeacher,
    MomentAlignment,
    Network,
    PartialFreezing,
    SourceOnly,
    Step,
    Strategy,
    Wrapper,
)
from strategies.components.batch_statistics import batch_norms, recompute_statistics
from strategies.components.criteria import CrossEntropy
from strategies.components.entropy import normalized_entropy

CLASSES = ["road", "car", "sky"]


@pytest.fixture
def network() -> Any:
    torch.manual_seed(0)
    options = {"encoder_depth": 3, "decoder_channels": [16, 16, 8]}
    network = SegmentationNetwork(NetworkSpec("Unet", "tu-test_resnet", CLASSES, options=options))
    for layer in batch_norms(network).values():
        nn.init.uniform_(layer.weight, 0.5, 1.5)  # some start at 0, where half the network has no gradient
    return network


def make_batch(seed: int) -> Batch:
    torch.manual_seed(seed)
    mask = torch.randint(0, 3, (2, 32, 32))
    return {
        "source": {"image": torch.rand(2, 3, 32, 32), "mask": mask, "name": ["a", "b"]},
        "target": {"image": torch.rand(2, 3, 32, 32) ** 3, "name": ["c", "d"]},
    }


def built(network: Any, *arguments: Any, **named: Any) -> AdaptiveBatchNorm:
    strategy = AdaptiveBatchNorm(*arguments, **named)
    strategy.build(network, CLASSES)
    return strategy


def by_the_seam(strategy: Strategy, network: Any, batch: Batch) -> dict[str, Tensor]:
    """Runs a step's terms and backwards, and returns the terms."""
    terms: dict[str, Tensor] = {}
    for named in strategy.losses(network, batch, Step(0, 1)):
        torch.stack(list(named.values())).sum().backward()
        terms |= {name: value.detach() for name, value in named.items()}
    return terms


def statistics(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.named_buffers() if "running_" in name}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys() and first
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], msg=lambda text, name=name: f"{name}: {text}")


# ------------------------------------------------------------------------------------------------ at the end


def target_batches() -> Iterator[Any]:
    for seed in range(3):
        yield {"image": make_batch(seed)["target"]["image"][:1], "name": [str(seed)]}


def test_a_run_ends_with_the_targets_statistics_and_the_bases_weights(make_trainer: Any) -> None:
    ends = []
    for strategy in (AdaptiveBatchNorm(), SourceOnly()):
        segmenter = tiny.make_segmenter(strategy)
        make_trainer(max_steps=2, limit_val_batches=0).fit(segmenter, tiny.make_data(workers=0))
        assert segmenter.network.training
        ends.append(segmenter.network)
    adapted, plain = ends
    assert all(torch.equal(*pair) for pair in zip(adapted.parameters(), plain.parameters(), strict=True))
    streets = SyntheticStreets(look="dusk", size=(32, 48), train=10, val=3, test=3)
    whole = [torch.from_numpy(streets.read_image(name)).movedim(-1, 0)[None] / 255 for name in streets.names("train")]
    assert len(whole) == 10
    recompute_statistics(plain, whole)
    assert_same(statistics(adapted), statistics(plain))


def test_statistics_are_counted_behind_the_last_step_alone_and_over_as_many_images_as_asked(network: Any) -> None:
    strategy, other = built(network, images=2), deepcopy(network)
    start = statistics(network)
    strategy.refresh(network, target_batches(), Step(1, 2))
    assert_same(statistics(network), start)
    strategy.refresh(network, target_batches(), Step(2, 2))
    recompute_statistics(other, [batch["image"] for batch in target_batches()][:2])
    assert_same(statistics(network), statistics(other))


def test_where_a_teacher_infers_it_is_the_one_that_is_adapted(network: Any) -> None:
    strategy, other = built(network, MeanTeacher()), deepcopy(network)
    start = statistics(network)
    strategy.refresh(network, target_batches(), Step(2, 2))
    recompute_statistics(other, [batch["image"] for batch in target_batches()])
    assert_same(statistics(strategy.inference_network(network, "target")), statistics(other))
    assert_same(statistics(network), start)


class Refreshed(SourceOnly):
    refresh_every = 4

    def refresh(self, network: Network, target_batches: Any, step: Step) -> None:
        self.passed = len(list(target_batches))


def test_the_base_is_refreshed_when_it_wants_to_be(network: Any) -> None:
    base = Refreshed()
    strategy = built(network, base)
    strategy.refresh(network, list(target_batches()), Step(0, 8))
    assert base.passed == 3 and strategy.refresh_every == 4
    assert AdaptiveBatchNorm().refresh_every == 0
    assert AdaptiveBatchNorm(statistics="along").refresh_every is None


# ------------------------------------------------------------------------------------------------ all along


@pytest.mark.parametrize("base", [SourceOnly, EntropyMinimization, MeanTeacher])
def test_along_the_statistics_are_those_of_a_loop_over_the_target_alone(base: Any, network: Any) -> None:
    strategy = built(network, base(), statistics="along")
    assert "target" in strategy.required_streams
    by_hand = deepcopy(network)
    for index in range(3):
        batch = make_batch(index)
        network.zero_grad()
        by_the_seam(strategy, network.train(), batch)
        with torch.no_grad():
            by_hand.train()(batch["target"]["image"])
            for ours, theirs in zip(network.parameters(), by_hand.parameters(), strict=True):
                ours -= 0.1 * ours.grad
                theirs.copy_(ours)
        strategy.after_step(network, Step(index, 3))
        assert_same(statistics(network), statistics(by_hand))


def test_along_neither_the_terms_nor_the_gradients_change(network: Any) -> None:
    other = deepcopy(network)
    found = by_the_seam(built(network, EntropyMinimization(0.5), statistics="along"), network, make_batch(0))
    wanted = by_the_seam(EntropyMinimization(0.5), other, make_batch(0))
    assert found == wanted
    tiny.assert_gradients_close(
        {name: p.grad for name, p in network.named_parameters()}, {name: p.grad for name, p in other.named_parameters()}
    )


class Breaks(SourceOnly):
    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        yield from super().losses(network, batch, step)
        raise RuntimeError("out of memory")


def test_along_statistics_move_again_behind_a_base_that_fails(network: Any) -> None:
    strategy, start = built(network, Breaks(), statistics="along"), statistics(network)
    with pytest.raises(RuntimeError, match="out of memory"):
        by_the_seam(strategy, network, make_batch(0))
    assert_same(statistics(network), start)
    network(make_batch(0)["source"]["image"])
    assert not torch.equal(
        statistics(network)["encoder.model.bn1.running_mean"], start["encoder.model.bn1.running_mean"]
    )


# ------------------------------------------------------------------------------------------------ a set a domain


def apart(network: Any, strategy: AdaptiveBatchNorm) -> tuple[Any, Any]:
    """Disturbs the source's set, and returns two whole networks, the source's and the target's."""
    torch.manual_seed(7)
    with torch.no_grad():
        for value in strategy.source_norms.state_dict().values():
            if value.is_floating_point():
                value += 0.1 * torch.rand_like(value)
    source, target = deepcopy(network), deepcopy(network)
    for layer, held in zip(batch_norms(source).values(), strategy.source_norms.sets, strict=True):
        layer.load_state_dict({**layer.state_dict(), **held.state_dict()})
    return source, target


@pytest.mark.parametrize("affine", ["shared", "separate"])
def test_both_sets_learn_as_in_two_networks_with_the_same_convolutions(affine: Any, network: Any) -> None:
    strategy = built(network, EntropyMinimization(0.5), statistics="per_domain", affine=affine)
    source, target = apart(network, strategy)
    batch = make_batch(0)
    terms = by_the_seam(strategy, network, batch)
    wanted = {
        "segmentation": CrossEntropy()(source(batch["source"]["image"]), batch["source"]["mask"]),
        "entropy": 0.5 * normalized_entropy(target(batch["target"]["image"])),
    }
    torch.stack(list(wanted.values())).sum().backward()
    assert_same(terms, {name: value.detach() for name, value in wanted.items()})
    of_norms = {f"{name}.{own}" for name in batch_norms(network) for own in ("weight", "bias")}
    for name, parameter in network.named_parameters():
        from_source, from_target = source.get_parameter(name).grad, target.get_parameter(name).grad
        own_set = affine == "separate" and name in of_norms
        both = from_target if own_set else from_source + from_target
        torch.testing.assert_close(parameter.grad, both, rtol=1e-4, atol=1e-7)
        assert not torch.allclose(from_source, from_target, atol=1e-7), name
    for layer, held in zip(batch_norms(source).values(), strategy.source_norms.sets, strict=True):
        for name, parameter in held.named_parameters():
            torch.testing.assert_close(parameter.grad, layer.get_parameter(name).grad)
        for name, value in held.named_buffers():
            torch.testing.assert_close(value, layer.get_buffer(name))
    assert_same(statistics(network), statistics(target))


def test_scores_on_the_source_are_of_the_sources_set(network: Any) -> None:
    strategy = built(network, EntropyMinimization(), statistics="per_domain")
    source, target = apart(network, strategy)
    image = make_batch(0)["source"]["image"]
    for one in (network, source, target):
        one.eval()
    assert strategy.inference_network(network, "target") is network
    assert torch.equal(strategy.inference_network(network, "source")(image), source(image))
    assert torch.equal(network(image), target(image)) and not torch.allclose(source(image), target(image))


def test_a_checkpoint_says_that_the_sources_set_stays_behind(make_trainer: Any, tmp_path: Path) -> None:
    for statistics, said in (("per_domain", 1), ("end", 0)):
        trainer, data = make_trainer(max_steps=1, limit_val_batches=0), tiny.make_data(workers=0)
        trainer.fit(tiny.make_segmenter(AdaptiveBatchNorm(EntropyMinimization(), statistics)), data)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            make_trainer().validate(tiny.make_segmenter(None), data, tmp_path / "last.ckpt", False, weights_only=True)
        assert sum("gave the source layers of its own" in str(one.message) for one in caught) == said


def test_a_teacher_is_of_the_networks_own_set_and_infers_on_both_domains(network: Any) -> None:
    strategy = built(network, MeanTeacher(threshold=0.1), statistics="per_domain")
    source, target = apart(network, strategy)
    batch = make_batch(0)
    assert {"segmentation", "pseudo_labels"} <= by_the_seam(strategy, network, batch).keys()
    teacher: Any = strategy.inference_network(network, "target")
    assert strategy.inference_network(network, "source") is teacher
    target(batch["target"]["image"])  # all that the teacher has seen
    assert_same(statistics(teacher), statistics(target))
    source(batch["source"]["image"])
    with strategy.source_norms.swapped_into(network):
        assert_same(statistics(network), statistics(source))


@pytest.mark.parametrize("affine", ["shared", "separate"])
def test_a_scale_learns_in_the_group_of_the_layer_that_it_is_a_copy_of(affine: Any, network: Any) -> None:
    base = PartialFreezing(EntropyMinimization(), train=["decoder", "head"], thaw={"encoder.2": 5})
    strategy = built(network, base, statistics="per_domain", affine=affine)
    groups = strategy.parameter_groups(network)
    check_groups(groups, network, strategy)
    group_of = {id(parameter): group["name"] for group in groups for parameter in group["params"]}
    twins = strategy.source_norms.counterparts(network)
    assert bool(twins) == (affine == "separate")
    for own, twin in twins.items():
        assert group_of.get(id(own)) == group_of.get(id(twin)) and own.requires_grad == twin.requires_grad
    assert not twins or {"decoder", "encoder.2", None} <= {group_of.get(id(own)) for own in twins}


def test_a_frozen_layer_stands_still_in_both_sets(network: Any) -> None:
    base = PartialFreezing(EntropyMinimization(), train=["decoder", "head"])
    strategy = built(network, base, statistics="per_domain")
    start = statistics(network)
    network.train()
    strategy.train_mode(network, Step(0, 1))
    by_the_seam(strategy, network, make_batch(0))
    of_target = statistics(network)
    with strategy.source_norms.swapped_into(network):
        of_source = statistics(network)
    for now in (of_source, of_target):
        moved = {name for name in start if not torch.equal(start[name], now[name])}
        assert moved == {name for name in start if name.startswith("decoder")}


class Restyled(Wrapper):
    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        source = batch["source"]
        yield from super().losses(network, {**batch, "source": {**source, "image": source["image"] ** 2}}, step)


def test_what_changes_the_source_goes_around_it(network: Any) -> None:
    outside = Restyled(AdaptiveBatchNorm(EntropyMinimization(), statistics="per_domain"))
    outside.build(network, CLASSES)
    assert set(by_the_seam(outside, network, make_batch(0))) == {"segmentation", "entropy"}
    inside = built(network, Restyled(EntropyMinimization()), statistics="per_domain")
    with pytest.raises(ValueError, match=r"FourierStyle\(AdaptiveBatchNorm\(…\)\), not AdaptiveBatchNorm\(Fou"):
        by_the_seam(inside, network, make_batch(0))


def test_a_decoder_that_learns_nothing_of_the_target_is_refused(network: Any) -> None:
    # The second decodes the target without gradients: that is enough for statistics, and not for scales.
    for base in (AdversarialAlignment("features"), MomentAlignment(class_balanced=True)):
        strategy = built(network, base, statistics="per_domain")
        with pytest.raises(ValueError, match="the target's terms reached the encoder alone"):
            by_the_seam(strategy, network, make_batch(0))
    by_the_seam(built(network, base, statistics="per_domain", affine="shared"), network, make_batch(0))
    by_the_seam(built(network, AdversarialAlignment("output"), statistics="per_domain"), network, make_batch(0))


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"statistics": "both"}, r"statistics is 'both'; it is end or along or per_domain"),
        ({"affine": "shared"}, r"affine is 'shared' with statistics end"),
        ({"statistics": "per_domain", "affine": "none"}, r"affine is 'none' with statistics per_domain"),
        ({"images": 0}, r"images is 0"),
        ({"statistics": "along", "images": 3}, r"images is 3 with statistics along"),
        ({"base": AdaptiveBatchNorm()}, r"AdaptiveBatchNorm\(AdaptiveBatchNorm\(SourceOnly\)\) adapts .* twice"),
        ({"base": PartialFreezing(AdaptiveBatchNorm())}, r"adapts BatchNorm twice"),
        ({"statistics": "per_domain"}, r"the base requires only source\. Give it a base"),
        ({"statistics": "per_domain", "base": FineTune()}, r"the base requires only labelled_target"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaptiveBatchNorm(**arguments)


def test_a_network_without_batch_norm_is_refused() -> None:
    plain: Any = SegmentationNetwork(NetworkSpec("FPN", "tu-test_convnext", CLASSES))
    with pytest.raises(ValueError, match=r"AdaptiveBatchNorm\(SourceOnly\): the network has no BatchNorm layer"):
        built(plain)

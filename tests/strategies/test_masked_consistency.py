"""MIC: what the student sees, its loss against the paper's formula, whose teacher it asks and how often."""

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from strategies import (
    AdaptiveBatchNorm,
    AdversarialAlignment,
    ClassMix,
    EntropyMinimization,
    FineTune,
    FourierStyle,
    MaskedConsistency,
    MeanTeacher,
    PartialFreezing,
    SelfTraining,
    SourceOnly,
    Step,
    Strategy,
)
from strategies.components.strong_augmentation import StrongAugmentation
from strategies.components.teacher import Teacher

CLASSES = [f"class {number}" for number in range(10)]
PLAIN = StrongAugmentation(jitter_chance=0, blur_chance=0)


class Lends(SourceOnly):
    """Has a teacher and asks it nothing."""

    def build(self, network: Any, classes: Any) -> None:
        self.lent = Teacher(network, 0.9)

    @property
    def teacher(self) -> Teacher:
        return self.lent


def make_network() -> Any:
    network: Any = tiny.make_segmenter(None).network
    network.set_normalisation([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])
    return network.eval()  # its decoder has dropout


def make_batch() -> Any:
    chance = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 32, 32, generator=chance)
    mask = torch.randint(0, 10, (2, 32, 32), generator=chance)
    return {"source": {"image": 1 - image, "mask": mask, "name": []}, "target": {"image": image, "name": []}}


def built(network: Any, base: Strategy | None, **arguments: Any) -> MaskedConsistency:
    """A strategy whose teacher is no longer the network."""
    strategy = MaskedConsistency(base, **{"block": 8, "strong": PLAIN, **arguments})
    strategy.build(network, CLASSES)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * parameter.std(correction=0) * torch.randn_like(parameter)
    return strategy


def terms(strategy: Strategy, network: Any, step: Step) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {name: value for named in strategy.losses(network, make_batch(), step) for name, value in named.items()}


class Inputs:
    """What a module was given."""

    def __init__(self, module: nn.Module) -> None:
        self.seen: list[Tensor] = []
        module.register_forward_pre_hook(lambda _, arguments: self.seen.append(arguments[0].detach()))


@pytest.mark.parametrize("base", [SourceOnly(), ClassMix()])
def test_hidden_pixels_are_0_to_the_encoder_and_the_others_are_the_images(base: Strategy) -> None:
    network, batch = make_network(), make_batch()
    strategy, inputs = built(network, base), Inputs(network.encoder)
    terms(strategy, network, Step(0, 1))
    normalised = (batch["target"]["image"] - network.mean) / network.std
    blocks = inputs.seen[-1].unflatten(3, (4, 8)).unflatten(2, (4, 8))
    hidden = (blocks == 0).all(dim=5).all(dim=3).all(dim=1)
    assert 0 < hidden.float().mean() < 1
    shown = normalised.unflatten(3, (4, 8)).unflatten(2, (4, 8)) * ~hidden[:, None, :, None, :, None]
    assert torch.equal(blocks, shown)


def test_the_colours_of_what_is_left_are_changed_and_what_is_hidden_stays_0() -> None:
    network, batch = make_network(), make_batch()
    strategy = built(network, SourceOnly(), strong=StrongAugmentation(jitter=0.2, jitter_chance=1, blur_chance=0))
    inputs = Inputs(network.encoder)
    terms(strategy, network, Step(0, 1))
    normalised = (batch["target"]["image"] - network.mean) / network.std
    hidden = (inputs.seen[-1] == 0).all(dim=1, keepdim=True)
    assert hidden.any() and not torch.isclose(inputs.seen[-1], normalised).all(dim=1, keepdim=True)[~hidden].any()


@pytest.mark.parametrize("base", [SourceOnly(), Lends()])
def test_the_term_is_the_papers(base: Strategy) -> None:
    """Of the student on the hidden image, against the teacher's classes of the whole, times the confident share."""
    network, batch = make_network(), make_batch()
    with torch.no_grad():
        raw = np.exp(network(batch["target"]["image"]).double().numpy())  # of the teacher: as it is before it is built
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    threshold = float(np.quantile(probabilities.max(axis=1), 0.6))
    strategy = built(network, base, threshold=threshold, weight=0.5)
    inputs, step = Inputs(network.encoder), Step(0, 1)
    found = terms(strategy, network, step)
    assert set(found) == {"segmentation", "masked_consistency"}

    share = (probabilities.max(axis=1) >= threshold).mean()
    assert share == pytest.approx(0.4, abs=0.01)
    labels = torch.from_numpy(probabilities.argmax(axis=1))
    logits = network(inputs.seen[-1] * network.std + network.mean)
    log_probabilities = logits - logits.logsumexp(dim=1, keepdim=True)
    total = sum(log_probabilities[i, labels[i, r, c], r, c] for i in range(2) for r in range(32) for c in range(32))
    wanted = -0.5 * float(share) * total / (2 * 32 * 32)
    torch.testing.assert_close(found["masked_consistency"], wanted)
    parameters = list(network.parameters())
    ours, theirs = (
        torch.autograd.grad(one, parameters, allow_unused=True) for one in (found["masked_consistency"], wanted)
    )
    assert any(one is not None and one.abs().max() > 0 for one in theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)

    told = {name: float(value) for name, value in step.logged.items()}
    assert told["masked_consistency/confident"] == pytest.approx(share)
    assert sum(told[f"masked_consistency/coverage/{name}"] for name in CLASSES) == pytest.approx(share)
    assert told["masked_consistency/agreement"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))


def test_a_base_that_labels_without_a_teacher_keeps_its_own_figures() -> None:
    network, steps = make_network(), (Step(0, 9), Step(0, 9))
    base = SelfTraining()  # before its first round, it labels nothing
    strategy = built(network, base, threshold=0)
    for told, one in zip(steps, (base, strategy), strict=True):
        terms(one, network, told)
    assert steps[0].logged["pseudo_labels/confident"] == 0
    assert steps[1].logged["masked_consistency/confident"] == 1
    assert {name: steps[1].logged[name] for name in steps[0].logged} == steps[0].logged


@pytest.mark.parametrize(
    "base",
    [
        ClassMix(threshold=0.2),  # asks it itself
        PartialFreezing(ClassMix(threshold=0.2), train=["head"]),
        Lends(),
        AdversarialAlignment("output"),
        EntropyMinimization(),
    ],
)
def test_the_teacher_is_asked_once_a_step(base: Strategy) -> None:
    network = make_network()
    strategy = built(network, base)
    teacher = strategy.teacher
    assert teacher is not None and teacher is (base.teacher or strategy.own_teacher)
    assert (strategy.own_teacher is None) == (base.teacher is not None), "one teacher is enough"
    inputs = Inputs(teacher.network)
    terms(strategy, network, Step(0, 1))
    assert len(inputs.seen) == 1 and torch.equal(inputs.seen[0], make_batch()["target"]["image"])


def test_labels_and_weights_of_the_base_are_taken_as_they_are() -> None:
    """Whatever they are: ignored pixels and weights a pixel too."""
    labels = make_batch()["source"]["mask"]
    labels[:, :, 8:] = 255

    class Shares(Lends):
        def losses(self, network: Any, batch: Any, step: Step) -> Any:
            step.shared["pseudo_labels"] = labels
            step.shared["pseudo_weights"] = torch.arange(32.0).expand(2, 32, 32)
            yield from super().losses(network, batch, step)

    network, base, step = make_network(), Shares(), Step(0, 1)
    strategy = built(network, base)
    encoder, teacher = Inputs(network.encoder), Inputs(base.lent.network)
    found = terms(strategy, network, step)["masked_consistency"]
    assert not teacher.seen
    logits = network(encoder.seen[-1] * network.std + network.mean)
    logits, labels = logits[..., :8], labels[..., :8]
    entropy = logits.logsumexp(dim=1) - logits.gather(1, labels.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(found, (entropy * torch.arange(8.0)).sum() / (2 * 32 * 32))
    agreed = (logits.argmax(dim=1) == labels).float().mean()
    assert 0 < agreed < 1
    assert set(step.logged) == {"masked_consistency/agreement"}, "what the base made is the base's to tell"
    torch.testing.assert_close(step.logged["masked_consistency/agreement"], agreed)


def test_a_teacher_of_its_own_follows_the_papers_schedule() -> None:
    """Copied before step 0; m = min(1 − 1 / (i + 2), momentum) after step i, whoever made the steps before."""
    network = make_network()
    strategy = MaskedConsistency(SourceOnly(), momentum=0.7)
    strategy.build(network, CLASSES)
    assert strategy.own_teacher is not None and not any(p.requires_grad for p in strategy.parameters())
    name = "segmentation_head.0.bias"
    wanted = network.state_dict()[name].double()
    for index, kept in enumerate([1 / 2, 2 / 3, 0.7, 0.7]):
        if index == 2:  # a resume
            state = strategy.state_dict()
            strategy = MaskedConsistency(SourceOnly(), momentum=0.7)
            strategy.build(network, CLASSES)
            strategy.load_state_dict(state)
        with torch.no_grad():
            network.get_parameter(name).normal_()
        strategy.after_step(network, Step(index, 4))
        wanted = kept * wanted + (1 - kept) * network.state_dict()[name].double()
        assert strategy.own_teacher is not None
        torch.testing.assert_close(strategy.own_teacher.network.state_dict()[name].double(), wanted)


def test_a_teacher_of_its_own_has_no_dropout_and_normalises_as_the_network() -> None:
    network = make_network().train()
    strategy = built(network, SourceOnly())
    assert strategy.own_teacher is not None
    strategy.train()
    terms(strategy, network, Step(0, 1))
    modes = {type(layer): layer.training for layer in strategy.own_teacher.network.modules()}
    assert not modes[nn.Dropout2d] and modes[nn.BatchNorm2d]


def test_what_adapts_another_network_than_infers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Put it around: AdaptiveBatchNorm\(MaskedConsistency\(…\)\)"):
        built(make_network(), FourierStyle(AdaptiveBatchNorm()))
    for base in (AdaptiveBatchNorm(MeanTeacher()), AdaptiveBatchNorm(statistics="along")):
        built(make_network(), base)


def test_its_own_teacher_infers_and_else_the_base_chooses() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.2]).view(1, 3, 1, 1)
    network = make_network()
    own, lent, unsure = (
        built(network, base, threshold=0.4) for base in (SourceOnly(), ClassMix(threshold=0.6), Lends())
    )
    assert own.own_teacher is not None and own.inference_network(network, "target") is own.own_teacher.network
    assert own.pseudo_labels(probabilities).item() == 0
    assert lent.teacher is not None and lent.inference_network(network, "target") is lent.teacher.network
    assert lent.pseudo_labels(probabilities).item() == 255
    assert unsure.inference_network(network, "target") is network
    assert unsure.pseudo_labels(probabilities).item() == 0


@pytest.mark.parametrize(
    ("base", "required", "optional"),
    [
        (None, {"source", "target"}, {"labelled_target"}),
        (SourceOnly(), {"source", "target"}, set()),
        (FineTune(), {"labelled_target", "target"}, set()),
    ],
)
def test_the_target_is_needed_whatever_the_base_reads(
    base: Strategy | None, required: set[str], optional: set[str]
) -> None:
    strategy = MaskedConsistency(base)
    assert set(strategy.required_streams) == required and set(strategy.optional_streams) == optional


def test_the_defaults_are_the_papers() -> None:
    strategy = MaskedConsistency(EntropyMinimization())
    assert (strategy.block, strategy.ratio, strategy.weight) == (64, 0.7, 1)
    assert (strategy.momentum, strategy.threshold) == (0.999, 0.968)
    strong = strategy.strong
    assert (strong.jitter, strong.jitter_chance, strong.blur_chance) == (0.2, 0.8, 0.5)
    assert strong.blur_sigma == (0.15, 1.15)


@pytest.mark.parametrize("freezing_within", [True, False])
def test_it_trains_with_partial_freezing_inside_and_outside(freezing_within: bool, make_trainer: Any) -> None:
    base = AdversarialAlignment("output")
    freeze = {"train": ["head"], "thaw": {"decoder": 1}}
    strategy = (
        MaskedConsistency(PartialFreezing(base, **freeze), block=8)
        if freezing_within
        else PartialFreezing(MaskedConsistency(base, block=8), **freeze)
    )
    segmenter = tiny.make_segmenter(strategy)
    start = {name: value.clone() for name, value in segmenter.network.state_dict().items()}
    make_trainer(max_steps=3, limit_val_batches=0).fit(segmenter, tiny.make_data())
    end = segmenter.network.state_dict()
    moved = {name.partition(".")[0] for name, value in end.items() if not torch.equal(value, start[name])}
    assert moved == {"decoder", "segmentation_head"}
    assert strategy.teacher is not None
    followed = strategy.teacher.network.state_dict()
    for name, value in start.items():
        if name.startswith("encoder"):
            torch.testing.assert_close(followed[name], value, msg=name)
        elif name.startswith("segmentation_head"):
            assert not torch.equal(followed[name], value) and not torch.equal(followed[name], end[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"block": 0}, r"MaskedConsistency\.block is 0"),
        ({"ratio": 1.0}, r"MaskedConsistency\.ratio is 1\.0; it is in \[0, 1\)"),
        ({"weight": -1}, r"MaskedConsistency\.weight is -1"),
        ({"momentum": 1.0}, r"MaskedConsistency\.momentum is 1\.0"),
        ({"threshold": 2.0}, r"MaskedConsistency\.threshold is 2\.0"),
    ],
)
def test_settings_without_a_meaning_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskedConsistency(**arguments)

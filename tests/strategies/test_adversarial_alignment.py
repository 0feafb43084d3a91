"""Adversarial alignment: the gradients of the papers' two optimizers; discriminator and network kept apart."""

import math
import warnings
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

from datamodules.batch import Batch
from lightning_app.network import NetworkSpec, SegmentationNetwork
from lightning_app.optimization import check_groups
from strategies import AdversarialAlignment, PartialFreezing, Step
from strategies.components.discriminator import OutputDiscriminator
from strategies.components.gradient_reversal import reverse_gradient

CLASSES = ["road", "car", "sky"]


@pytest.fixture
def network() -> SegmentationNetwork:
    torch.manual_seed(0)
    options = {"encoder_depth": 3, "decoder_channels": [16, 16, 8]}
    return SegmentationNetwork(NetworkSpec("Unet", "tu-test_resnet", CLASSES, options=options))


def make_batch(height: int, width: int) -> Batch:
    torch.manual_seed(1)
    mask = torch.randint(0, 3, (2, height, width))
    mask[:, :4] = 255
    return {
        "source": {"image": torch.rand(2, 3, height, width), "mask": mask, "name": ["a", "b"]},
        "target": {"image": torch.rand(2, 3, height, width), "name": ["c", "d"]},
    }


@pytest.fixture
def batch() -> Batch:
    return make_batch(32, 32)


def built(network: SegmentationNetwork, **arguments: Any) -> AdversarialAlignment:
    strategy = AdversarialAlignment(**arguments)
    strategy.build(network, CLASSES)
    return strategy


def by_the_seam(strategy: AdversarialAlignment, network: SegmentationNetwork, batch: Batch, step: Step) -> None:
    for named in strategy.losses(network, batch, step):
        torch.stack(list(named.values())).sum().backward()


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    return functional.cross_entropy(logits, mask, ignore_index=255)


def judged(answers: Tensor, label: float, loss: str) -> Tensor:
    """BCE or squares written out."""
    if loss == "least_squares":
        return (answers - label).square().mean()
    probability = answers.sigmoid()
    return -(label * probability.log() + (1 - label) * (1 - probability).log()).mean()


def written_out(logits: Tensor, level: str) -> Tensor:
    probabilities = logits.softmax(1)
    return -probabilities * torch.log2(probabilities + 1e-30) / math.log2(3) if level == "entropy" else probabilities


@pytest.mark.parametrize("size", [(32, 32), (37, 50)], ids=["even", "padded"])
@pytest.mark.parametrize("loss", ["vanilla", "least_squares"])
@pytest.mark.parametrize("auxiliary_stage", [None, -2])
@pytest.mark.parametrize("level", ["output", "entropy"])
def test_gradients_equal_two_optimizers_that_take_turns(
    level: Any, auxiliary_stage: int | None, loss: Any, size: tuple[int, int], network: SegmentationNetwork
) -> None:
    """AdaptSegNet's order of updates: D off, segmentation and fooling; D on, its two halves; then both step."""
    batch = make_batch(*size)
    strategy = built(network, level=level, loss=loss, auxiliary_stage=auxiliary_stage, weight=0.3)
    heads = [] if auxiliary_stage is None else list(strategy.auxiliary_head.parameters())  # type: ignore[union-attr]
    generator = SGD([*network.parameters(), *heads], lr=0.1)
    discriminator = SGD(strategy.discriminators.parameters(), lr=0.1)
    generator.zero_grad()
    discriminator.zero_grad()

    def forward(image: Tensor) -> list[Tensor]:
        features = network.features(image)
        logits = [network.decode(features, size)]
        if strategy.auxiliary_head is not None:
            # The features are those of the image padded to whole strides of 8 at the bottom and on the right.
            padded = [-(-side // 8) * 8 for side in size]
            coarse = strategy.auxiliary_head(features[-2])
            large = functional.interpolate(coarse, padded, mode="bilinear", align_corners=False)
            logits.append(large[..., : size[0], : size[1]])
        return logits

    strategy.discriminators.requires_grad_(False)
    of_source = forward(batch["source"]["image"])
    mask = batch["source"]["mask"]
    total = cross_entropy(of_source[0], mask)
    if auxiliary_stage is not None:
        total = total + 0.1 * cross_entropy(of_source[1], mask)
    total.backward()
    of_target = forward(batch["target"]["image"])
    maps = [written_out(one, level) for one in of_target]
    weights = [0.3, 0.06]
    torch.stack(
        [w * judged(d(m), 0.0, loss) for w, d, m in zip(weights, strategy.discriminators, maps, strict=False)]
    ).sum().backward()
    strategy.discriminators.requires_grad_(True)
    for domain, logits in ((0.0, of_source), (1.0, of_target)):
        for d, one in zip(strategy.discriminators, logits, strict=True):
            (judged(d(written_out(one.detach(), level)), domain, loss) / 2).backward()
    expected = [gradients(network), gradients(strategy)]

    generator.zero_grad()
    discriminator.zero_grad()
    by_the_seam(strategy, network, batch, Step(0, 10))
    for found, wanted in zip([gradients(network), gradients(strategy)], expected, strict=True):
        assert found.keys() == wanted.keys() and wanted
        for name in wanted:
            torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("stages", [(-1,), (0, 2)])
def test_reversed_gradients_equal_two_optimizers(
    stages: tuple[int, ...], network: SegmentationNetwork, batch: Batch
) -> None:
    """DANN written as two players: D minimises its loss, the encoder the same loss times −weight · ramp."""
    strategy = built(network, level="features", stages=stages, weight=0.2)
    step = Step(3, 10)
    ramp = 2 / (1 + math.exp(-10 * 0.3)) - 1
    losses = []
    for domain, image in ((0.0, batch["source"]["image"]), (1.0, batch["target"]["image"])):
        features = network.features(image)
        if domain == 0:
            cross_entropy(network.decode(features, (32, 32)), batch["source"]["mask"]).backward(retain_graph=True)
        for stage, discriminator in zip(stages, strategy.discriminators, strict=True):
            one = features[-1] if stage == -1 else features[stage + 1]
            normal = (one - one.mean(1, keepdim=True)) / (one.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
            losses.append(judged(discriminator(normal), domain, "vanilla") / 2)
    total = torch.stack(losses).sum()
    encoder = list(network.encoder.parameters())
    against = torch.autograd.grad(total, encoder, retain_graph=True, allow_unused=True)
    for parameter, gradient in zip(encoder, against, strict=True):
        if gradient is not None:
            assert parameter.grad is not None
            parameter.grad -= 0.2 * ramp * gradient
    of_discriminator = torch.autograd.grad(total, list(strategy.discriminators.parameters()))
    expected = gradients(network)
    network.zero_grad()
    by_the_seam(strategy, network, batch, step)
    found = gradients(network)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-6)
    for parameter, gradient in zip(strategy.discriminators.parameters(), of_discriminator, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)


def test_reversal_keeps_values_and_turns_and_scales_gradients() -> None:
    features = torch.randn(3, 4, requires_grad=True)
    behind = reverse_gradient(features, 0.25)
    assert torch.equal(behind, features)
    (behind * torch.arange(4.0)).sum().backward()
    assert features.grad is not None
    assert torch.equal(features.grad, -0.25 * torch.arange(4.0).expand(3, 4))


def test_the_first_reversed_step_leaves_the_network_to_the_source(network: SegmentationNetwork, batch: Batch) -> None:
    strategy = built(network, level="features", weight=5.0)
    by_the_seam(strategy, network, batch, Step(0, 10))
    found = gradients(network)
    network.zero_grad()
    cross_entropy(network(batch["source"]["image"]), batch["source"]["mask"]).backward()
    for name, wanted in gradients(network).items():
        torch.testing.assert_close(found[name], wanted, rtol=1e-5, atol=1e-7)


def test_each_player_gets_its_own_gradient_alone(network: SegmentationNetwork, batch: Batch) -> None:
    """Term by term: the fooling term gives the discriminator nothing, the discriminator's terms the network nothing."""
    strategy = built(network, level="output")
    for named in strategy.losses(network, batch, Step(0, 10)):
        network.zero_grad()
        strategy.zero_grad()
        torch.stack(list(named.values())).sum().backward()
        of_discriminator = bool(gradients(strategy.discriminators))
        assert of_discriminator == any(name.startswith("discriminator") for name in named)
        assert of_discriminator != bool(gradients(network))


@pytest.mark.parametrize(
    ("arguments", "weights"),
    [
        ({"level": "output"}, [0.001]),
        ({"level": "output", "auxiliary_stage": -2}, [0.001, 0.0002]),
        ({"level": "output", "loss": "least_squares"}, [0.01]),
        ({"level": "entropy", "auxiliary_stage": -2}, [0.001, 0.0002]),
        ({"level": "features", "stages": (0, -1)}, [0.01, 0.01]),
    ],
)
def test_the_papers_weights_are_the_defaults(arguments: Any, weights: list[float]) -> None:
    assert AdversarialAlignment(**arguments).weights == pytest.approx(weights)


def test_the_discriminator_is_the_papers(network: SegmentationNetwork) -> None:
    discriminator = OutputDiscriminator(3)
    convolutions = [layer for layer in discriminator.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [64, 128, 256, 512, 1]
    assert all(layer.kernel_size == (4, 4) and layer.stride == (2, 2) for layer in convolutions)
    assert discriminator(torch.zeros(1, 3, 64, 96)).shape == (1, 1, 2, 3)
    for level in ("features", "output", "entropy"):
        layers = built(network, level=level).discriminators.modules()
        assert not any(isinstance(layer, nn.modules.batchnorm._NormBase) for layer in layers)


def test_the_discriminator_learns_at_its_own_rate(network: SegmentationNetwork) -> None:
    strategy = built(network, auxiliary_stage=-2, discriminator_lr=7e-5, discriminator_betas=(0.8, 0.95))
    groups = {group["name"]: group for group in strategy.parameter_groups(network)}
    assert list(groups) == ["encoder", "decoder", "head", "strategy", "discriminator"]
    own = groups["discriminator"]
    assert own["lr"] == 7e-5 and own["betas"] == (0.8, 0.95) and own["weight_decay"] == 0


class _Answers(nn.Module):
    """Answers the same to everything."""

    def __init__(self, answers: Tensor) -> None:
        super().__init__()
        self.answers = nn.Parameter(answers)

    def forward(self, maps: Tensor) -> Tensor:
        return self.answers.expand(len(maps), 1, 1, -1)


@pytest.mark.parametrize(
    ("answers", "accuracies", "message"),
    [
        ((-1.0, 1.0), (1.0, 1.0), "it has won"),
        ((1.0, 1.0), (0.0, 1.0), "it is guessing"),
        ((-1.0, -1.0), (1.0, 0.0), "it is guessing"),
        ((1.0, -1.0), (0.0, 0.0), None),
    ],
)
def test_it_says_once_in_plain_words_when_a_discriminator_cannot_teach(
    answers: tuple[float, float],
    accuracies: tuple[float, float],
    message: str | None,
    network: SegmentationNetwork,
) -> None:
    """Of two discriminators the second is of one opinion; the first is right in three places of four."""
    strategy = built(network, level="features", stages=(0, 1))
    said: dict[int, list[str]] = {}
    for index in range(600):
        step = Step(index, 600)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            strategy._accuracies = []
            for domain, answer in enumerate(answers):
                useful = torch.tensor([-1.0, -1.0, -1.0, 1.0]) * (1 - 2 * domain)
                strategy.discriminators = nn.ModuleList([_Answers(useful), _Answers(torch.full((4,), answer))])
                strategy._discriminate([torch.zeros(2, 3, 1, 1)] * 2, float(domain), step)
            # From batch 150 on it has an opinion; before that it is as useful as the first.
            if index < 150:
                strategy.tallies[1] = strategy.tallies[0]
            strategy.after_step(network, step)
        said |= {index: [str(one.message) for one in caught]} if caught else {}
    logged = {name: float(value) for name, value in step.logged.items()}
    assert logged["discriminator_accuracy/source"] == pytest.approx((0.75 + accuracies[0]) / 2)
    assert logged["discriminator_accuracy/target"] == pytest.approx((0.75 + accuracies[1]) / 2)
    # At the end of the first hundred batches of which nine in ten were so.
    assert list(said) == ([299] if message else [])
    assert all(message and message in one for messages in said.values() for one in messages)


def test_what_was_said_is_in_the_checkpoint(network: SegmentationNetwork) -> None:
    assert {"tallies", "verdicts"} <= built(network).state_dict().keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -1.0}, r"AdversarialAlignment.weight is -1.0; give 0"),
        ({"discriminator_lr": 0.0}, "discriminator_lr is 0.0; give a positive"),
        ({"level": "features", "auxiliary_stage": -2}, "for several levels of features name several stages"),
        ({"level": "output", "stages": (1,)}, "they are for the level features"),
        ({"level": "features", "stages": ()}, "at least one"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdversarialAlignment(**arguments)


def test_a_variant_may_have_a_part_of_its_own(network: SegmentationNetwork) -> None:
    class Variant(AdversarialAlignment):
        def build(self, network: Any, classes: Any) -> None:
            super().build(network, classes)
            self.scale = nn.Parameter(torch.ones(1))

    strategy = Variant()
    strategy.build(network, CLASSES)
    groups = strategy.parameter_groups(network)
    check_groups(groups, network, strategy)
    assert [group["name"] for group in groups] == ["encoder", "decoder", "head", "strategy", "discriminator"]


@pytest.mark.parametrize("level", ["features", "output", "entropy"])
def test_true_half_precision_trains(level: Any, make_trainer: Any) -> None:
    segmenter = tiny.make_segmenter(AdversarialAlignment(level=level, auxiliary_stage=None))
    make_trainer(max_steps=2, limit_val_batches=0, precision="bf16-true").fit(segmenter, tiny.make_data())
    assert all(value.isfinite().all() for value in segmenter.state_dict().values())


def test_aligning_what_is_frozen_is_said(make_trainer: Any) -> None:
    strategy = PartialFreezing(AdversarialAlignment(level="features", objective="non_saturating"))
    with pytest.warns(UserWarning, match="AdversarialAlignment aligns nothing in this step"):
        make_trainer(max_steps=1, limit_val_batches=0).fit(tiny.make_segmenter(strategy), tiny.make_data())


def test_a_stage_that_does_not_exist_is_refused(network: SegmentationNetwork) -> None:
    with pytest.raises(ValueError, match=r"names stage 9, but the encoder's stages are 0 to 2"):
        built(network, level="features", stages=(9,))


def test_maps_below_one_place_name_the_crop(network: SegmentationNetwork, batch: Batch) -> None:
    for stream in batch.values():
        stream["image"] = stream["image"][..., :24, :24]  # type: ignore[index]
    batch["source"]["mask"] = batch["source"]["mask"][..., :24, :24]
    with pytest.raises(ValueError, match=r"got 24 × 24: set data.crop"):
        by_the_seam(built(network), network, batch, Step(0, 1))

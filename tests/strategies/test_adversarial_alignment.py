"""Adversarial alignment: the gradients of the papers' two optimizers; discriminator and network kept apart."""

import math
import warnings
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch.nn import functional

from datamodules.batch import Batch
from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec
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
    labels = torch.full_like(answers, label)
    if loss == "least_squares":
        return functional.mse_loss(answers, labels)
    return functional.binary_cross_entropy_with_logits(answers, labels)


VARIANTS: list[dict[str, Any]] = [
    {"level": level, "objective": objective, "loss": loss, **several}
    for level in ("features", "output", "entropy")
    for objective in ("non_saturating", "gradient_reversal")
    for loss in ("vanilla", "least_squares")
    for several in ({}, {"stages": (0, 2)} if level == "features" else {"auxiliary_stage": -2})
]


class ByHand:
    """The papers' updates written out: a network and discriminators that are two players with a backward of their own.

    The maps: features normalised over the channels (DANN), softmax (AdaptSegNet) or −p log p / log C (ADVENT).
    """

    def __init__(self, strategy: AdversarialAlignment, network: SegmentationNetwork, variant: dict[str, Any]) -> None:
        self.strategy, self.network, self.loss = strategy, network, variant["loss"]
        self.level, self.stages = variant["level"], variant.get("stages", (-1,))
        self.auxiliary = "auxiliary_stage" in variant
        self.weights = [0.3, 0.3 if self.level == "features" else 0.06]
        self.discriminators = list(strategy.discriminators)

    def forward(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Returns the logits, and the maps that are aligned."""
        size = (image.shape[-2], image.shape[-1])
        features = self.network.features(image)
        logits = [self.network.decode(features, size)]
        if self.auxiliary:
            # The features are those of the image padded to whole strides of 8 at the bottom and on the right.
            padded = [-(-side // 8) * 8 for side in size]
            assert self.strategy.auxiliary_head is not None
            coarse = self.strategy.auxiliary_head(features[-2])
            large = functional.interpolate(coarse, padded, mode="bilinear", align_corners=False)
            logits.append(large[..., : size[0], : size[1]])
        if self.level == "features":
            chosen = [features[-1] if stage == -1 else features[stage + 1] for stage in self.stages]
            return logits, [functional.layer_norm(f.movedim(1, -1), (f.shape[1],)).movedim(-1, 1) for f in chosen]
        if self.level == "output":
            return logits, [one.softmax(dim=1) for one in logits]
        logs = [one.log_softmax(dim=1) for one in logits]
        return logits, [-one.exp() * one / math.log(len(CLASSES)) for one in logs]

    def supervised(self, logits: list[Tensor], mask: Tensor) -> Tensor:
        total = cross_entropy(logits[0], mask)
        return total + 0.1 * cross_entropy(logits[1], mask) if self.auxiliary else total

    def take_turns(self, batch: Batch) -> None:
        """AdaptSegNet's order: D off, segmentation, fooling; D on, its two halves."""
        self.strategy.discriminators.requires_grad_(False)
        logits, of_source = self.forward(batch["source"]["image"])
        self.supervised(logits, batch["source"]["mask"]).backward()
        _, of_target = self.forward(batch["target"]["image"])
        fooling = [
            weight * judged(discriminator(one), 0.0, self.loss)
            for weight, discriminator, one in zip(self.weights, self.discriminators, of_target, strict=False)
        ]
        torch.stack(fooling).sum().backward()
        self.strategy.discriminators.requires_grad_(True)
        for domain, maps in ((0.0, of_source), (1.0, of_target)):
            for discriminator, one in zip(self.discriminators, maps, strict=True):
                (judged(discriminator(one.detach()), domain, self.loss) / 2).backward()

    def play_against(self, batch: Batch, ramp: float) -> None:
        """DANN: D minimises its loss; the network the same loss with the opposite sign, times weight and ramp."""
        for domain, stream in ((0.0, batch["source"]), (1.0, batch["target"])):
            logits, maps = self.forward(stream["image"])
            if domain == 0.0:
                self.supervised(logits, batch["source"]["mask"]).backward(retain_graph=True)
            for discriminator, one in zip(self.discriminators, maps, strict=True):
                (judged(discriminator(one.detach()), domain, self.loss) / 2).backward()
            self.strategy.discriminators.requires_grad_(False)
            against = [
                -weight * ramp * judged(discriminator(one), domain, self.loss) / 2
                for weight, discriminator, one in zip(self.weights, self.discriminators, maps, strict=False)
            ]
            torch.stack(against).sum().backward()
            self.strategy.discriminators.requires_grad_(True)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: ", ".join(map(str, variant.values())))
def test_gradients_equal_two_players_with_a_backward_each(
    variant: dict[str, Any], network: SegmentationNetwork
) -> None:
    """They differ by the rounding of float32 alone: a few units of the last place of a parameter's largest gradient."""
    batch = make_batch(37, 50)  # which the network pads
    strategy = built(network, weight=0.3, **variant)
    by_hand = ByHand(strategy, network, variant)
    if variant["objective"] == "gradient_reversal":
        by_hand.play_against(batch, ramp=2 / (1 + math.exp(-10 * 0.3)) - 1)
    else:
        by_hand.take_turns(batch)
    wanted = {**gradients(network), **{f"strategy.{name}": one for name, one in gradients(strategy).items()}}
    network.zero_grad()
    strategy.zero_grad()
    by_the_seam(strategy, network, batch, Step(3, 10))
    found = {**gradients(network), **{f"strategy.{name}": one for name, one in gradients(strategy).items()}}
    assert found.keys() == wanted.keys() and len(wanted) > len(list(network.parameters()))
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-5 * float(gradient.abs().max()))


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


@pytest.mark.parametrize("variant", [one for one in VARIANTS if one["objective"] == "non_saturating"], ids=str)
def test_each_player_gets_its_own_gradient_alone(
    variant: dict[str, Any], network: SegmentationNetwork, batch: Batch
) -> None:
    """The fooling term gives the discriminators nothing, the discriminators' terms give the network nothing."""
    strategy = built(network, **variant)
    for named in strategy.losses(network, batch, Step(0, 10)):
        network.zero_grad()
        strategy.zero_grad()
        torch.stack(list(named.values())).sum().backward()
        of_discriminators = bool(gradients(strategy.discriminators))
        assert of_discriminators == any(name.startswith("discriminator") for name in named)
        assert of_discriminators != bool(gradients(network))


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


def test_it_says_once_which_discriminator_has_won(network: SegmentationNetwork) -> None:
    """Every answer to the source is low and to the target high, once the discriminator's last bias says so."""
    strategy = built(network, level="output", auxiliary_stage=-2)
    with torch.no_grad():
        for parameter in strategy.discriminators[1].layers[-1].parameters():
            parameter.zero_()
    dark, bright = (torch.full((2, 3, 32, 32), value) for value in (0.0, 1.0))
    said = []
    for index in range(100):
        step = Step(index, 100)
        accuracies = []
        for domain, maps, bias in ((0.0, dark, -1.0), (1.0, bright, 1.0)):
            with torch.no_grad():
                strategy.discriminators[1].layers[-1].bias.fill_(bias)
                accuracies.append(strategy._discriminate([maps, maps], domain)[1])
        strategy._tell(step, *accuracies)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            strategy.after_step(network, step)
        said += [(index, str(one.message)) for one in caught if "auxiliary" in str(one.message)]
    assert [index for index, _ in said] == [99]
    assert "of the auxiliary head's output was right nearly everywhere in 100 of the last 100 batches" in said[0][1]
    assert set(step.logged) == {"discriminator_accuracy/source", "discriminator_accuracy/target"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "feature"}, r"level is 'feature'; it is one of \('features', 'output', 'entropy'\)"),
        ({"loss": "lsgan"}, "loss is 'lsgan'; it is one of"),
        ({"objective": "grl"}, "objective is 'grl'; it is one of"),
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
        stream["image"] = stream["image"][..., :24, :24]
    batch["source"]["mask"] = batch["source"]["mask"][..., :24, :24]
    with pytest.raises(ValueError, match=r"got 24 × 24: set data.crop"):
        by_the_seam(built(network), network, batch, Step(0, 1))

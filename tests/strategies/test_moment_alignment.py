"""Moment alignment: the summed loss of the papers, and its gradient through both domains."""

from copy import deepcopy
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor
from torch.nn import functional

from datamodules.batch import Batch
from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec
from strategies import MomentAlignment, PartialFreezing, Step
from strategies.base import Stage

CLASSES = ["road", "car", "sky"]


@pytest.fixture
def network() -> Any:
    torch.manual_seed(0)
    options = {"encoder_depth": 3, "decoder_channels": [16, 16, 8]}
    return SegmentationNetwork(NetworkSpec("Unet", "tu-test_resnet", CLASSES, options=options))


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(1)
    mask = torch.randint(0, 3, (2, 16, 16))
    mask[:, :6] = 255
    return {
        "source": {"image": torch.rand(2, 3, 16, 16), "mask": mask, "name": ["a", "b"]},
        "target": {"image": torch.rand(2, 3, 16, 16) ** 2, "name": ["c", "d"]},
    }


def built(network: Any, **arguments: Any) -> MomentAlignment:
    strategy = MomentAlignment(**arguments)
    strategy.build(network, CLASSES)
    return strategy


def by_the_seam(strategy: MomentAlignment, network: Any, batch: Batch, step: Step) -> dict[str, Tensor]:
    """Each term's value; the gradients lie in the network."""
    terms: dict[str, Tensor] = {}
    for named in strategy.losses(network, batch, step):
        torch.stack(list(named.values())).sum().backward()
        terms |= {name: value.detach() for name, value in named.items()}
    return terms


def pixels(maps: Tensor) -> Tensor:
    return maps.movedim(1, -1).reshape(-1, maps.shape[1])


def coral(source: Tensor, target: Tensor) -> Tensor:
    return (source.T.cov() - target.T.cov()).square().sum() / (4 * source.shape[1] ** 2)


def mmd(source: Tensor, target: Tensor) -> Tensor:
    def kernel(one: Tensor, other: Tensor) -> Tensor:
        squares = (one.unsqueeze(1) - other).square().sum(-1)
        return torch.stack([(-squares / (2 * alpha * mean)).exp() for alpha in (0.5, 1, 2)]).sum(0)

    both = torch.cat([source, target]).detach()
    mean = (both.unsqueeze(1) - both).square().sum(-1).mean()
    number = len(source)
    pairs = number * (number - 1)
    of_source, of_target = (kernel(one, one).fill_diagonal_(0).sum() / pairs for one in (source, target))
    return of_source + of_target - 2 * kernel(source, target).mean()


@pytest.mark.parametrize("distance", ["coral", "mmd"])
@pytest.mark.parametrize("stages", [[-1], [0, 2]])
def test_the_gradient_is_that_of_the_summed_loss(distance: Any, stages: list[int], network: Any, batch: Batch) -> None:
    """Over all pixels of the maps, which are fewer than would be drawn; the terms' values add up to the loss too."""
    by_hand, step = deepcopy(network), Step(0, 1)
    terms = by_the_seam(built(network, distance=distance, weight=3, stages=stages), network, batch, step)
    source, target = (by_hand.features(batch[stream]["image"]) for stream in ("source", "target"))  # type: ignore[literal-required]  # both are streams
    of_stages = [
        {"coral": coral, "mmd": mmd}[distance](pixels(source[stage % 3 + 1]), pixels(target[stage % 3 + 1]))
        for stage in stages
    ]
    logits = by_hand.decode(source, (16, 16))
    loss = functional.cross_entropy(logits, batch["source"]["mask"], ignore_index=255)
    (loss + 3 * sum(of_stages)).backward()
    assert list(terms) == ["alignment", "segmentation"]
    torch.testing.assert_close(terms["segmentation"], loss.detach())
    torch.testing.assert_close(terms["alignment"], 3 * torch.stack(of_stages).sum().detach(), rtol=1e-3, atol=1e-6)
    for stage, wanted in zip(stages, of_stages, strict=True):
        torch.testing.assert_close(step.logged[f"distance/encoder.{stage % 3}"], wanted.detach(), rtol=1e-3, atol=1e-6)
    for (name, found), one in zip(network.named_parameters(), by_hand.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(found.grad, one.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_as_many_pixels_are_drawn_as_asked_for(network: Any, batch: Batch) -> None:
    few, again, all_of_them = (
        by_the_seam(built(network, stages=[0], pixels=number), network, batch, Step(0, 1))["alignment"]
        for number in (50, 50, 10_000)
    )
    assert few != again, "other pixels are drawn in each step"
    assert few != all_of_them


class Bright(torch.nn.Module):
    """Its features are the image at a quarter of the size, and it predicts class 1 where the image is bright."""

    def __init__(self, sees: bool = True) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.sees = sees

    def features(self, image: Tensor) -> list[Tensor]:
        return [functional.avg_pool2d(image, 4) * self.scale]

    def decode(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        bright = self.to_image_size(features[0][:, :1], size) * self.sees
        return torch.cat([1 - 2 * bright, bright, bright * 0 - 9], dim=1)

    def to_image_size(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        return functional.interpolate(maps, size, mode="bilinear", align_corners=False)

    def stages(self) -> list[Stage]:
        return [Stage(0, 3, ["scale"])]


@pytest.mark.parametrize("distance", ["coral", "mmd"])
def test_how_often_a_class_occurs_is_not_seen_where_classes_are_balanced(distance: Any) -> None:
    """One eighth of the source is dark, three quarters of the target, and nothing else differs."""
    rows = torch.arange(32).view(1, 1, 32, 1).expand(2, 3, 32, 32)
    source, target = (torch.where(rows < border, 0.0, 1.0) for border in (4, 24))

    def found(mask: Tensor, sees: bool = True, image: Tensor = source, balanced: bool = True) -> float:
        network: Any = Bright(sees)
        strategy = built(network, distance=distance, class_balanced=balanced)
        streams: Any = {"source": {"image": image, "mask": mask, "name": []}, "target": {"image": target, "name": []}}
        return float(by_the_seam(strategy, network, streams, Step(0, 1))["alignment"])

    mask = source[:, 0].long()
    near = abs(found(mask))
    assert near < found(mask, balanced=False) / 10
    # The classes are those of the masks in the source, and those that the network predicts in the target.
    assert near < found(mask * 0) / 10
    assert near < found(mask, sees=False) / 5
    # What is ignored does not count, whatever it looks like.
    ignored, noisy = mask.clone(), source.clone()
    ignored[:, 20:], noisy[:, :, 20:] = 255, 7
    assert abs(found(ignored, image=noisy)) < found(mask, image=noisy) / 5
    assert found(mask * 0 + 255) == 0


def test_a_map_of_one_pixel_names_the_crop(network: Any, batch: Batch) -> None:
    for images in (batch["source"], batch["target"]):
        images["image"] = images["image"][:1, :, :8, :8]
    with pytest.raises(ValueError, match=r"encoder\.2 has one pixel.*data\.crop or data\.batch_size higher"):
        by_the_seam(built(network.eval()), network, batch, Step(0, 1))


def test_aligning_what_is_frozen_is_said(make_trainer: Any) -> None:
    with pytest.warns(UserWarning, match="MomentAlignment aligns nothing in this step"):
        make_trainer(max_steps=1, limit_val_batches=0).fit(
            tiny.make_segmenter(PartialFreezing(MomentAlignment())), tiny.make_data()
        )


def test_true_half_precision_trains(make_trainer: Any) -> None:
    segmenter = tiny.make_segmenter(MomentAlignment("mmd", class_balanced=True))
    make_trainer(max_steps=2, limit_val_batches=0, precision="bf16-true").fit(segmenter, tiny.make_data())
    assert all(value.isfinite().all() for value in segmenter.state_dict().values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"distance": "wasserstein"}, r"distance is 'wasserstein'; it is coral or mmd"),
        ({"weight": -1}, r"weight is -1; give 0 or a positive number"),
        ({"stages": []}, r"stages is empty; name at least one"),
        ({"stages": [9]}, r"MomentAlignment\.stages names stage 9, but the encoder's stages are 0 to 2"),
        ({"pixels": 1}, r"pixels is 1; one pixel has no distribution"),
        ({"bandwidths": []}, r"bandwidths is \[\]; give numbers > 0"),
        ({"bandwidths": [1, 0]}, r"bandwidths is \[1, 0\]; give numbers > 0"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str, network: Any) -> None:
    with pytest.raises(ValueError, match=message):
        built(network, **arguments)

"""DAFormer: its terms, teacher, weights and requests against the paper's; what it keeps of the pretrained encoder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch.nn import functional
from weights_on_disk import save_checkpoint

from datamodules.batch import RareClassSampling
from lightning_app.segmenter import Segmenter
from strategies import DAFormer, PartialFreezing, Step

CLASSES = ["road", "Car", "sky", "fence", "Person"]
CITYSCAPES = (
    "road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain, sky, person, "
    "rider, car, truck, bus, train, motorcycle, bicycle"
)


def make_network(classes: list[str] = CLASSES) -> Any:
    return tiny.make_segmenter(None, classes=classes).network


def built(network: Any, **settings: Any) -> DAFormer:
    strategy = DAFormer(**settings)
    if strategy.wants_pretrained:
        strategy.keep_pretrained(network)
    strategy.build(network, network.spec.classes)
    return strategy


def make_batch(height: int = 32, width: int = 32) -> Any:
    generator = torch.Generator().manual_seed(0)
    image, other = torch.rand(2, 2, 3, height, width, generator=generator)
    mask = torch.randint(0, 5, (2, height // 7 + 1, width // 7 + 1), generator=generator)
    mask = mask.repeat_interleave(7, dim=1).repeat_interleave(7, dim=2)[:, :height, :width].contiguous()
    mask[:, :3] = 255
    return {"source": {"image": image, "mask": mask, "name": []}, "target": {"image": other, "name": []}}


def shake(network: Any) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 + 0.1 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("size", [(32, 32), (36, 45)], ids=["whole cells", "padded"])
def test_terms_of_the_source_are_cross_entropy_and_the_distance_on_cells_of_things(size: tuple[int, int]) -> None:
    network, original, cell = make_network().eval(), make_network().eval(), 8
    strategy, batch, step = built(network, feature_distance=0.3), make_batch(*size), Step(0, 1)
    shake(network)
    image, mask = batch["source"]["image"], batch["source"]["mask"]
    terms = next(strategy.losses(network, batch, step))
    difference = network.features(image)[-1] - original.features(image)[-1].detach()
    rows, columns = difference.shape[-2:]
    norms = []
    for index, row, column in np.ndindex(2, rows, columns):
        labels = mask[index, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell].flatten().tolist()
        if max(labels.count(thing) for thing in (1, 4)) / cell**2 >= 0.75:
            norms.append((difference[index, :, row, column] ** 2).sum().sqrt())
    wanted = 0.3 * sum(norms) / len(norms)
    assert set(terms) == {"segmentation", "feature_distance"}
    torch.testing.assert_close(terms["feature_distance"], wanted)
    torch.testing.assert_close(terms["segmentation"], functional.cross_entropy(network(image), mask, ignore_index=255))
    parameters = list(network.encoder.parameters())
    found, by_hand = (
        torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
        for value in (terms["feature_distance"], wanted)
    )
    for one, other in zip(found, by_hand, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
    assert step.logged["feature_distance/cells"] == pytest.approx(len(norms) / (2 * rows * columns))


def test_without_feature_distance_it_keeps_no_encoder_and_asks_for_no_things() -> None:
    network, batch = make_network(["road", "sky"]), make_batch()
    batch["source"]["mask"] %= 2
    strategy = built(network, feature_distance=0)
    assert set(next(strategy.losses(network, batch, Step(0, 1)))) == {"segmentation"}
    teacher = sum(parameter.numel() for parameter in network.parameters())
    assert sum(parameter.numel() for parameter in strategy.parameters()) == teacher


def test_things_are_those_of_cityscapes_or_the_named_ones() -> None:
    assert built(make_network(CITYSCAPES.split(", "))).thing_ids.tolist() == [6, 7, *range(11, 19)]
    assert built(make_network()).thing_ids.tolist() == [1, 4]
    assert built(make_network(), things=["FENCE"]).thing_ids.tolist() == [3]
    with pytest.raises(ValueError, match=r"road, sky: name them in DAFormer\.things, or set .*feature_distance to 0"):
        built(make_network(["road", "sky"]))
    with pytest.raises(ValueError, match=r"DAFormer\.things names van; the classes are road, Car, sky, fence, Person"):
        built(make_network(), things=["car", "van"])


def test_default_settings_are_the_papers() -> None:
    strategy = DAFormer()
    assert (strategy.momentum, strategy.threshold, strategy.feature_distance) == (0.999, 0.968, 0.005)
    assert (strategy.strong.jitter, strategy.strong.jitter_chance, strategy.strong.blur_chance) == (0.2, 0.8, 0.5)


@pytest.mark.parametrize("momentum", [0.999, 0.7])
def test_the_teacher_moves_as_at_the_start_of_each_iteration_of_the_paper(momentum: float) -> None:
    network = make_network()
    strategy = built(network, momentum=momentum)
    name = "encoder.model.conv1.0.weight"
    students = [network.state_dict()[name].clone()]
    for index in range(6):
        shake(network)
        strategy.after_step(network, Step(index, 6))
        students.append(network.state_dict()[name].clone())
        expected = students[0].double()
        for iteration in range(1, index + 2):
            alpha = min(1 - 1 / (iteration + 1), momentum)
            expected = alpha * expected + (1 - alpha) * students[iteration]
        torch.testing.assert_close(strategy.teacher.network.state_dict()[name], expected.float())


def test_the_teacher_has_no_dropout_and_normalises_as_the_student_does() -> None:
    network, image = make_network().train(), make_batch()["target"]["image"]
    assert any(isinstance(layer, torch.nn.Dropout2d) and layer.p for layer in network.modules())
    teacher = built(network).teacher
    by_batch, again = teacher.logits(network, image), teacher.logits(network, image)
    assert torch.equal(by_batch, again)
    assert not torch.equal(by_batch, teacher.logits(network.eval(), image))


@pytest.mark.parametrize("weighting", ["share", "pixel"])
def test_ignored_rows_weigh_nothing_but_for_what_is_pasted_into_them(weighting: Any) -> None:
    network, batch = make_network(), make_batch()
    strategy = built(network, weighting=weighting, ignore_top=5, ignore_bottom=9)
    confident = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(0)) < 0.6
    weights = strategy.weigh(confident)
    wanted = confident.float() if weighting == "pixel" else torch.full((2, 32, 32), confident.double().mean().item())
    wanted[:, :5] = 0
    wanted[:, 32 - 9 :] = 0
    torch.testing.assert_close(weights, wanted)
    view = strategy.student_view(batch, torch.zeros(2, 32, 32, dtype=torch.int64), weights)
    assert 0 < view.of_target.float().mean() < 1
    torch.testing.assert_close(view.weights, torch.where(view.of_target, wanted, 1.0))


def test_ignoring_every_row_is_refused() -> None:
    strategy = built(make_network(), ignore_top=15, ignore_bottom=120)
    assert strategy.weigh(torch.ones(1, 136, 4, dtype=torch.bool)).sum() == 4
    with pytest.raises(ValueError, match=r"ignore_top is 15 and ignore_bottom 120, but crops have 135 rows"):
        strategy.weigh(torch.ones(1, 135, 4, dtype=torch.bool))


def test_it_asks_for_rare_classes_under_a_wrapper_too(make_trainer: Any) -> None:
    strategy = PartialFreezing(DAFormer())
    assert list(strategy.requests) == [RareClassSampling(0.01, 3000, 1500)]
    fit, segmenter = make_trainer(max_steps=1).fit, tiny.make_segmenter(strategy)
    wanted = r"PartialFreezing\(DAFormer\) asks for .*minimum_crop_pixels 1500, .* has \(1024\)\. Set data\."
    with pytest.raises(ValueError, match=wanted):
        fit(segmenter, tiny.make_data(workers=0))
    with pytest.raises(ValueError, match=r"rare_class_sampling\.minimum_pixels is 3000, but no image has as many"):
        fit(segmenter, tiny.make_data(workers=0, crop=(64, 64)))


def test_the_pretrained_encoder_is_that_of_before_init_from(tmp_path: Path) -> None:
    names = ["road", "Car", "sky"]
    torch.save(make_network(names).encoder.state_dict(), tmp_path / "encoder.pth")
    other = make_network(names)
    shake(other)
    strategy = DAFormer()
    settings = {"encoder_weights": str(tmp_path / "encoder.pth"), "classes": names}
    segmenter = Segmenter(
        strategy=strategy, init_from=str(save_checkpoint(other, tmp_path / "other.ckpt")), **settings, **tiny.NETWORK
    )
    assert strategy.pretrained is not None
    wanted = {"pretrained": make_network(names), "student": other, "teacher": other}
    found = {
        "pretrained": strategy.pretrained.network,
        "student": segmenter.network,
        "teacher": strategy.teacher.network,
    }
    for role, network in found.items():
        encoder: Any = network.encoder
        for name, value in wanted[role].encoder.state_dict().items():
            assert torch.equal(encoder.state_dict()[name], value), f"{role}: {name}"


def test_a_resume_keeps_the_pretrained_encoder(make_trainer: Any, tmp_path: Path) -> None:
    def run(steps: int, seed: int, path: Path | None = None) -> tuple[Segmenter, dict[str, Any]]:
        segmenter = tiny.make_segmenter(tiny.make_strategy("daformer"))
        strategy: Any = segmenter.strategy
        torch.manual_seed(seed)
        for parameter in strategy.pretrained.parameters():  # weights of chance, as those of a run that is resumed
            torch.nn.init.uniform_(parameter, -0.1, 0.1)
        start = {name: value.clone() for name, value in strategy.pretrained.state_dict().items()}
        trainer = make_trainer(max_steps=steps, limit_val_batches=0)
        data = tiny.make_data(workers=0, **tiny.data_settings("daformer"))
        trainer.fit(segmenter, data, ckpt_path=path, weights_only=True)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        return segmenter, start

    _, first = run(2, seed=1)
    resumed, second = run(3, seed=2, path=tmp_path / "last.ckpt")
    kept = resumed.strategy.pretrained.state_dict()
    name = "network.encoder.model.conv1.0.weight"
    assert not torch.equal(first[name], second[name])
    assert all(torch.equal(kept[key], value) for key, value in first.items())
    assert not torch.equal(resumed.state_dict()[name], kept[name])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feature_distance": -1}, r"DAFormer\.feature_distance is -1"),
        ({"ignore_top": -1}, r"DAFormer\.ignore_top is -1"),
        ({"ignore_bottom": -2}, r"DAFormer\.ignore_bottom is -2"),
        ({"momentum": 1}, r"DAFormer\.momentum is 1"),
    ],
)
def test_a_setting_without_a_meaning_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DAFormer(**settings)


def test_an_encoder_that_was_not_kept_is_missed_at_once() -> None:
    with pytest.raises(ValueError, match=r"call keep_pretrained\(network\) before build"):
        DAFormer().build(make_network(), CLASSES)

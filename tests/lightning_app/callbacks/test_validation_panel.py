import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tiny
import torch
from kept_display import KeptDisplay
from lightning.pytorch import Trainer
from torch import nn

from datamodules import CrossDomainDataModule
from lightning_app.callbacks.validation_panel import ValidationPanel
from lightning_app.displays.displays import Displays
from lightning_app.displays.reduction import small_image, small_map, small_mask
from lightning_app.segmenter import Segmenter


class Run(NamedTuple):
    segmenter: Segmenter
    data: CrossDomainDataModule
    display: KeptDisplay
    forwards: int


def make_data(**settings: Any) -> CrossDomainDataModule:
    streets = {"size": (32, 48), "train": 4, "val": 7, "test": 0}
    source, target = (tiny.KeptStreets(look=look, **streets) for look in ("day", "dusk"))
    return tiny.make_data(source=source, target=target, workers=0, steps_per_epoch=2, **settings)


def fit(name: str, seed: int, **settings: Any) -> Run:
    """Trains four steps and validates after each second one."""
    segmenter, data, display = (
        tiny.make_segmenter(tiny.make_strategy(name), seed=seed),
        make_data(seed=seed),
        KeptDisplay(),
    )
    forwards: list[int] = []

    def count(module: nn.Module, inputs: Any, output: Any) -> None:
        if not module.training:
            forwards.append(len(output))

    segmenter.network.register_forward_hook(count)
    trainer = Trainer(
        **{**tiny.TRAINER, "max_steps": 4, "devices": 1, "callbacks": [ValidationPanel(display)], **settings}
    )
    trainer.fit(segmenter, data)
    return Run(segmenter, data, display, sum(forwards))


@pytest.fixture(scope="module")
def run() -> Run:
    return fit("source_only", 7)


def test_three_images_of_each_domain_are_shown_once_each_validation(run: Run) -> None:
    assert [(shown.name, shown.step) for shown in run.display.panels] == [("val/panel", 2), ("val/panel", 4)]
    # Of 7 images the middle ones of three thirds: 1.17, 3.5 and 5.83, rounded down.
    wanted = [(role, run.data.splits()[role]["val"][index]) for role in ("source", "target") for index in (1, 3, 5)]
    for shown in run.display.panels:
        assert [(row.domain, row.name) for row in shown.rows] == wanted


def test_another_method_and_seed_are_shown_the_same_images(run: Run) -> None:
    other = fit("class_mix", 3, max_steps=2)
    for ours, theirs in zip(run.display.panels[0].rows, other.display.panels[0].rows, strict=True):
        assert (ours.domain, ours.name) == (theirs.domain, theirs.name)
        assert np.array_equal(ours.image, theirs.image)
        assert np.array_equal(ours.masks["truth"], theirs.masks["truth"])


def test_what_is_shown_is_what_the_network_predicts(run: Run) -> None:
    for row in run.display.panels[-1].rows:
        side = run.data.sides["source" if row.domain == "source" else "target"]
        image = side.domain.read_image(row.name)
        assert np.array_equal(row.image, image)
        assert np.array_equal(row.masks["truth"], side.domain.read_mask(row.name))
        assert np.array_equal(row.masks["prediction"], run.segmenter.predict(image))
        with torch.no_grad():
            logits = run.segmenter.network.eval()(torch.from_numpy(image).movedim(-1, 0)[None] / 255)[0].numpy()
        probabilities = np.exp(logits - logits.max(axis=0)) / np.exp(logits - logits.max(axis=0)).sum(axis=0)
        np.testing.assert_allclose(row.maps["confidence"], probabilities.max(axis=0), rtol=1e-4)


def test_no_image_passes_the_network_twice(run: Run) -> None:
    assert run.forwards == 2 * (7 + 7)


def test_validation_of_a_checkpoint_is_shown_under_the_step_it_is_of(run: Run, tmp_path: Path) -> None:
    assert run.segmenter.trainer is not None
    run.segmenter.trainer.save_checkpoint(tmp_path / "last.ckpt")
    display = KeptDisplay()
    trainer = Trainer(**tiny.TRAINER, devices=1, callbacks=[ValidationPanel(display)])
    trainer.validate(tiny.make_segmenter(None), make_data(), tmp_path / "last.ckpt", verbose=False, weights_only=True)
    [shown] = display.panels
    assert (shown.name, shown.step) == ("validate/panel", 4)
    for ours, theirs in zip(shown.rows, run.display.panels[-1].rows, strict=True):
        assert np.array_equal(ours.masks["prediction"], theirs.masks["prediction"])


class OddStreets(tiny.KeptStreets):
    """Streets whose names hold a byte that is no text."""

    def names(self, split: Any) -> list[str]:
        return [f"{name}\udce9" for name in super().names(split)]

    def has_mask(self, name: str) -> bool:
        return True

    def read_image(self, name: str) -> Any:
        return super().read_image(name[:-1])

    def read_mask(self, name: str) -> Any:
        return super().read_mask(name[:-1])


def test_a_part_of_the_validation_is_shown_evenly_too_whatever_the_names(tmp_path: Path) -> None:
    target = OddStreets(look="dusk", size=(32, 48), train=4, val=7, test=0)
    panel = ValidationPanel(Displays(tmp_path, list(OddStreets.classes)))
    trainer = Trainer(**tiny.TRAINER, devices=1, limit_val_batches=0.5, callbacks=[panel])
    trainer.validate(tiny.make_segmenter(None), tiny.make_data(workers=0, target=target), verbose=False)
    rows = json.loads((tmp_path / "pictures/validate/panel.json").read_text())["rows"]
    # Of 3 and 7 images the first 1 and 3.
    assert [(row["domain"], row["name"]) for row in rows] == [
        ("source", "day_val_0000"),
        *(("target", rf"dusk_val_000{index}\udce9") for index in range(3)),
    ]


def test_a_folder_that_cannot_be_written_is_told_of_once_and_ends_no_training(tmp_path: Path) -> None:
    (tmp_path / "pictures").write_text("in the way")
    displays = Displays(tmp_path, list(tiny.SyntheticStreets.classes))
    segmenter = tiny.make_segmenter(tiny.make_strategy("source_only"))
    trainer = Trainer(**tiny.TRAINER, devices=1, max_steps=4, callbacks=[ValidationPanel(displays)])
    with pytest.warns(UserWarning, match="FileDisplay could not show val/panel: ") as warned:
        trainer.fit(segmenter, make_data())
    assert trainer.global_step == 4
    assert sum("could not show" in str(one.message) for one in warned) == 1


def test_large_images_become_small_and_masks_no_other_classes() -> None:
    image = torch.rand(3, 1000, 2000)
    mask = torch.arange(2000).expand(1000, 2000) // 500 * 60
    mask[:, :3] = 255
    shown, shown_mask = small_image(image), small_mask(mask)
    assert shown.shape == (240, 480, 3) and shown.dtype == np.uint8
    assert shown_mask.shape == small_map(image[0]).shape == (240, 480)
    assert shown_mask[0].tolist() == [255] + [60 * (column // 120) for column in range(1, 480)]
    assert abs(float(small_map(image[0]).mean()) - 0.5) < 0.01
    assert small_mask(mask[:30, :20]).shape == (30, 20)

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from kept_display import KeptDisplay
from lightning.pytorch import Callback, Trainer

from lightning_app.callbacks.training_panel import TrainingPanel
from lightning_app.callbacks.validation_panel import ValidationPanel
from lightning_app.segmenter import Segmenter


def fit(name: str, callbacks: list[Callback], **settings: Any) -> Segmenter:
    segmenter = tiny.make_segmenter(tiny.make_strategy(name))
    data = tiny.make_data(workers=0, **tiny.data_settings(name))
    Trainer(**{**tiny.TRAINER, "devices": 1, "callbacks": callbacks, "max_steps": 4, **settings}).fit(segmenter, data)
    return segmenter


@pytest.fixture(scope="module")
def shown() -> tuple[KeptDisplay, Segmenter]:
    """A run of three methods in each other that validates after each second step."""
    display = KeptDisplay()
    segmenter = fit(
        "masked_consistency_fourier_class_mix",
        [TrainingPanel(display), ValidationPanel(display)],
        val_check_interval=2,
        check_val_every_n_epoch=None,
    )
    return display, segmenter


def test_methods_show_what_they_made_right_before_a_validation(shown: tuple[KeptDisplay, Segmenter]) -> None:
    found = [(panel.name, panel.step) for panel in shown[0].panels]
    names = ["train/styled", "train/pseudo_labels", "train/mixed", "train/masked", "val/panel"]
    assert found == [(name, step) for step in (2, 4) for name in names]
    for panel in shown[0].panels:
        if panel.name == "train/mixed":
            assert [set(row.masks) for row in panel.rows] == [{"label"}] * 2
            assert [set(row.maps) for row in panel.rows] == [{"weight"}] * 2
        if panel.name == "train/styled":
            assert [list(row.others) for row in panel.rows] == [["source", "target"]] * 2
        for row in panel.rows:
            assert {picture.shape[:2] for picture in (row.image, *row.masks.values(), *row.maps.values())} == {
                row.image.shape[:2]
            }


def test_the_masked_image_is_hidden_where_the_network_sees_nothing(shown: tuple[KeptDisplay, Segmenter]) -> None:
    display, segmenter = shown
    [image, *_] = [row.image for panel in display.panels if panel.name == "train/masked" for row in panel.rows]
    mean = np.rint(segmenter.network.mean.flatten().numpy() * 255)
    hidden = (image == mean).all(axis=2).mean()
    assert 0.1 < hidden < 1


def test_pictures_are_kept_in_no_other_step_and_let_go_of(shown: tuple[KeptDisplay, Segmenter]) -> None:
    class Watch(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
            kept.append(set(pl_module.step.shown))

    kept: list[set[str]] = []
    fit("class_mix", [Watch(), TrainingPanel(KeptDisplay())], val_check_interval=3, check_val_every_n_epoch=None)
    assert kept == [set(), set(), {"pseudo_labels", "mixed"}, set()]
    assert not shown[1].step.shown


@pytest.mark.parametrize("name", ["self_training", "mean_teacher"])
def test_training_is_the_same_whether_it_is_shown_or_not(name: str) -> None:
    display = KeptDisplay()
    # An epoch has five steps, and a validation at its end.
    watched = fit(name, [TrainingPanel(display), ValidationPanel(display)], max_steps=5)
    alone = fit(name, [], max_steps=5)
    assert [panel.step for panel in display.panels] == [5] * len(display.panels)
    names = [panel.name for panel in display.panels]
    assert names[0] == "train/pseudo_labels" and names[-1] == "val/panel"
    for key, value in alone.state_dict().items():
        assert torch.equal(value, watched.state_dict()[key]), key


def test_a_run_that_never_validates_shows_nothing() -> None:
    display = KeptDisplay()
    fit("class_mix", [TrainingPanel(display)], limit_val_batches=0)
    assert not display.panels

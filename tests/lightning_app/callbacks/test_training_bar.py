"""The progress bar of a terminal, and who else may draw one."""

from pathlib import Path
from typing import Any

import pytest

from lightning_app.callbacks.throughput import Throughput
from lightning_app.callbacks.training_bar import TrainingBar
from lightning_app.cli import main
from strategies import SelfTraining


def test_one_bar_over_all_epochs_with_score_speed_and_passes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make_data: Any,
    make_segmenter: Any,
    make_trainer: Any,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    throughput = Throughput()
    callbacks = [throughput, TrainingBar(throughput)]
    steps = {"max_steps": 6, "val_check_interval": 3, "check_val_every_n_epoch": None, "log_every_n_steps": 2}
    trainer = make_trainer(callbacks=callbacks, enable_progress_bar=True, **steps)
    trainer.fit(make_segmenter(SelfTraining(refresh_every=4)), make_data(workers=0))
    shown = capsys.readouterr().out
    lines = [line for line in shown.replace("\r", "\n").split("\n") if "Training" in line]
    assert "6/6" in lines[-1] and "-2" not in shown
    for text in ("loss: ", "target mIoU: ", "images/s: ", "left: 0:00:00"):
        assert text in lines[-1]
    assert "Target" in shown and "/10" in shown


def test_a_bar_of_the_config_takes_the_place_of_ours(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["--trainer.callbacks", "TQDMProgressBar", "--trainer.enable_progress_bar", "true"]
    main(["fit", "--config", str(config), "--run", "x", *own])
    said = capsys.readouterr().out
    assert "Epoch 0" in said and "step 1 of 3" not in said

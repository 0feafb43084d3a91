"""How fast a run trains, by a clock that the test sets."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger

from lightning_app.callbacks import throughput as module
from lightning_app.callbacks.throughput import Throughput
from strategies import ClassMix


class Clock(Callback):
    """Two seconds a batch, a hundred a validation."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def on_before_zero_grad(self, *_: object) -> None:
        self.now += 2

    def on_validation_epoch_end(self, *_: object) -> None:
        self.now += 100


def test_all_streams_count_and_validations_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    clock, throughput = Clock(), Throughput()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    left: dict[int, float | None] = {}

    class Left(Callback):
        def on_train_batch_end(self, trainer: Any, *_: object) -> None:
            left[trainer.global_step] = throughput.seconds_left(trainer.global_step, 6)

    trainer = make_trainer(
        callbacks=[clock, throughput, Left()],
        max_steps=6,
        val_check_interval=3,
        check_val_every_n_epoch=None,
        log_every_n_steps=2,
        logger=CSVLogger(tmp_path),
    )
    trainer.fit(make_segmenter(ClassMix()), make_data(workers=0))
    # Two images of the source and two of the target in two seconds.
    assert throughput.latest == pytest.approx(2)
    assert throughput.images_per_second == pytest.approx(2)
    assert throughput.seconds == pytest.approx(6 * 2 + 2 * 100)
    assert left[2] == pytest.approx(4 * 2)
    # A run goes on at the pace that it had, with its validations.
    assert left[4] == pytest.approx(2 * (4 * 2 + 100) / 4)

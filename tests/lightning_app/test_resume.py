"""A run that was interrupted and resumed equals one that was not, bit for bit."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_app.callbacks.graceful_stop import GracefulStop
from lightning_app.callbacks.last_checkpoint import LastCheckpoint
from lightning_app.segmenter import Segmenter
from strategies import Network, SourceOnly, Step

STEPS = 9
"""More than one epoch of five steps, so that the resumed run crosses a reshuffle."""


def assert_bitwise_equal(first: Segmenter, second: Segmenter) -> None:
    assert first.state_dict().keys() == second.state_dict().keys()
    different = [
        name for name, value in first.state_dict().items() if not torch.equal(value, second.state_dict()[name])
    ]
    assert not different
    assert first.consumed_batches == second.consumed_batches


@pytest.mark.parametrize(("workers", "validate_every"), [(0, None), (0, 3), (2, None)])
def test_resuming_at_an_odd_step_equals_going_on(
    workers: int, validate_every: int | None, tmp_path: Path, make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    settings: dict[str, Any] = {"max_steps": STEPS, "enable_checkpointing": True}
    settings |= (
        {"val_check_interval": validate_every, "check_val_every_n_epoch": None}
        if validate_every
        else {"limit_val_batches": 0}
    )

    def keeper() -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=3, save_top_k=-1)

    whole = make_segmenter(SourceOnly())
    make_trainer(callbacks=[keeper()], **settings).fit(whole, make_data(workers=workers, strength="strong"))
    resumed = make_segmenter(SourceOnly())
    data = make_data(workers=workers, strength="strong")
    make_trainer(callbacks=[keeper()], **settings).fit(
        resumed, data, ckpt_path=tmp_path / "step=3.ckpt", weights_only=True
    )
    assert resumed.consumed_batches == STEPS
    assert_bitwise_equal(whole, resumed)


def test_resuming_under_accumulation_equals_going_on(
    tmp_path: Path, make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    settings: dict[str, Any] = {
        "max_steps": 5,
        "enable_checkpointing": True,
        "accumulate_grad_batches": 2,
        "limit_val_batches": 0,
    }

    def keeper() -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)

    whole, resumed = make_segmenter(SourceOnly()), make_segmenter(SourceOnly())
    make_trainer(callbacks=[keeper()], **settings).fit(whole, make_data())
    make_trainer(callbacks=[keeper()], **settings).fit(
        resumed, make_data(), ckpt_path=tmp_path / "step=2.ckpt", weights_only=True
    )
    assert_bitwise_equal(whole, resumed)


class Signalled(SourceOnly):
    """Is sent a signal after its third optimizer step, before the counters move."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def after_step(self, network: Network, step: Step) -> None:
        if step.index == 2:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_within_a_step_saves_what_a_resume_needs(
    number: int, tmp_path: Path, make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    settings: dict[str, Any] = {"max_steps": STEPS, "limit_val_batches": 0}
    handler = signal.getsignal(number)
    with pytest.raises(SystemExit) as left:
        make_trainer(callbacks=[GracefulStop(LastCheckpoint(str(tmp_path)))], **settings).fit(
            make_segmenter(Signalled(number)), make_data()
        )
    assert left.value.code == 128 + number
    assert signal.getsignal(number) is handler
    resumed, whole = make_segmenter(Signalled(0)), make_segmenter(Signalled(0))  # signal 0 is none
    make_trainer(**settings).fit(resumed, make_data(), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    make_trainer(**settings).fit(whole, make_data())
    assert_bitwise_equal(whole, resumed)


def test_a_fit_gives_the_signals_back(tmp_path: Path, make_data: Any, make_segmenter: Any, make_trainer: Any) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    make_trainer(callbacks=[GracefulStop(LastCheckpoint(str(tmp_path)))], max_steps=1, limit_val_batches=0).fit(
        make_segmenter(SourceOnly()), make_data()
    )
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.alone
def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path, make_data: Any, make_segmenter: Any, make_trainer: Any) -> None:
    # Ctrl-C means nothing to what a script has started in the background.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    class Twice(SourceOnly):
        def after_step(self, network: Network, step: Step) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(SystemExit):  # what Lightning makes of a KeyboardInterrupt
        make_trainer(callbacks=[GracefulStop(LastCheckpoint(str(tmp_path)))], max_steps=5, limit_val_batches=0).fit(
            make_segmenter(Twice()), make_data()
        )
    signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "last.ckpt").exists()

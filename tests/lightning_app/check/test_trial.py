"""How long a run is, by its settings and a few of its steps."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny import TRAINER, make_data, make_segmenter

from datamodules.batch import DomainBatch
from lightning_app.check import trial
from lightning_app.check.trial import make_trainer, passes, total_steps, try_steps, validations
from strategies import Network, SourceOnly, Step

DEFAULTS: dict[str, Any] = {
    "max_steps": -1,
    "max_epochs": None,
    "limit_train_batches": None,
    "limit_val_batches": None,
    "accumulate_grad_batches": 1,
    "val_check_interval": None,
    "check_val_every_n_epoch": 1,
}
BY_BATCHES: dict[str, Any] = {"check_val_every_n_epoch": None, "val_check_interval": 25}


@pytest.mark.parametrize(
    ("settings", "steps", "validated"),
    [
        # 10 batches an epoch.
        ({**BY_BATCHES, "max_steps": 50}, 50, 2),
        ({"max_steps": 25}, 25, 2),
        ({"max_epochs": 3}, 30, 3),
        ({"max_epochs": 3, "max_steps": 12}, 12, 1),
        ({"max_epochs": 6, "check_val_every_n_epoch": 2, "accumulate_grad_batches": 4}, 18, 3),
        ({"max_epochs": 2, "val_check_interval": 0.5}, 20, 4),
        ({"max_epochs": 2, "val_check_interval": 5, "limit_train_batches": 0.5}, 10, 2),
        ({"max_epochs": 2, "limit_train_batches": 4, "limit_val_batches": 0}, 8, 0),
        (
            {"max_steps": 50, "accumulate_grad_batches": 2, "check_val_every_n_epoch": None, "val_check_interval": 25},
            50,
            4,
        ),
        ({}, 10_000, 1000),
    ],
)
def test_steps_and_validations_of_a_run(settings: dict[str, Any], steps: int, validated: int) -> None:
    whole = {**DEFAULTS, **settings}
    assert total_steps(whole, 10) == steps
    assert validations(whole, 10, steps) == validated


def test_a_run_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match=r"set trainer\.max_steps"):
        total_steps({**DEFAULTS, "max_epochs": -1}, 10)


class Glimpses(SourceOnly):
    """Passes over the target before every second step and behind the last, a second an image."""

    refresh_every = 2

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.seen: list[int] = []

    def refresh(self, network: Network, target_batches: Iterable[DomainBatch], step: Step) -> None:
        self.seen.append(0)
        for _ in target_batches:
            self.seen[-1] += 1
            self.seconds += 1


def test_a_trial_cuts_passes_over_the_target_short_and_reckons_with_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = Glimpses()
    monkeypatch.setattr(trial, "time", SimpleNamespace(monotonic=lambda: strategy.seconds))
    settings = {**TRAINER, **DEFAULTS, "max_steps": 10, "limit_val_batches": 0}
    trainer = make_trainer(settings, ModelCheckpoint(monitor=None), steps=4)
    estimate = try_steps(trainer, make_segmenter(strategy), make_data(workers=0), settings)
    assert strategy.seen == [3, 3, 3], "before steps 0 and 2, and behind the last"
    # 5 rounds and one pass behind the last, over 10 images each; a step itself takes no time by this clock.
    assert (estimate.step, estimate.passes, estimate.passing, estimate.total) == (0, 6, 10, 60)


@pytest.mark.parametrize(
    ("every", "seen", "expected"), [(None, 0, 0), (0, 1, 1), (0, 0, 0), (100, 1, 10), (100, 2, 11), (1, 5, 1001)]
)
def test_passes_over_the_target_of_a_run(every: int | None, seen: int, expected: int) -> None:
    strategy = SourceOnly()
    strategy.refresh_every = every
    assert passes(strategy, steps=1000, tried=4, seen=seen) == expected

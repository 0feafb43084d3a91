"""How long a run is, by its settings."""

from typing import Any

import pytest

from lightning_app.check.trial import total_steps, validations

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

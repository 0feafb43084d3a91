"""What it would have cost to choose the checkpoint without target labels."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.table import Table

from lightning_app.segmenter import Segmenter
from lightning_app.selection import SOURCE_MIOU, TARGET_MIOU, UNSUPERVISED, choose, mode_of
from lightning_app.writing import try_to_write_csv

STEP = "step"
"""Chooses the last validation."""


class SelectionRecord(Callback):
    """Shows, at the end of a fit whose target is validated with labels, the regret of choosing without them.

    The regret of a score is the best mIoU of the target over all validations less that of the validation which the
    score would have chosen. It is printed and written to ``selection.csv`` for every score without target labels, for
    the source's mIoU and for the last validation. It comes before what writes checkpoints, which hold its validations.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.validations: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """Returns the validations so far."""
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes those before a resume."""
        self.validations = state_dict["validations"]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes a validation within a fit."""
        assert isinstance(pl_module, Segmenter)
        scores = pl_module.scores
        if trainer.state.fn != "fit" or trainer.sanity_checking or "target" not in scores:
            return
        noted: dict[str, float] = {STEP: trainer.global_step, TARGET_MIOU: scores["target"].miou}
        if "source" in scores:
            noted[SOURCE_MIOU] = scores["source"].miou
        noted |= {f"val/target/unsupervised/{name}": value for name, value in pl_module.unsupervised.items()}
        self.validations.append(noted)

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints and writes the regrets, if there was a choice."""
        if len(self.validations) < 2 or getattr(trainer, "fast_dev_run", False):
            return
        target = [validation[TARGET_MIOU] for validation in self.validations]
        best = choose(target, "max")
        monitors = [STEP, SOURCE_MIOU, *(f"val/target/unsupervised/{name}" for name in UNSUPERVISED)]
        rows: list[tuple[str, str, int, float, float]] = []
        for monitor in monitors:
            if all(monitor in validation for validation in self.validations):
                place = choose([validation[monitor] for validation in self.validations], mode_of(monitor))
                step, regret = int(self.validations[place][STEP]), target[best] - target[place]
                rows.append(("last" if monitor == STEP else monitor, mode_of(monitor), step, target[place], regret))
        table = Table("chosen by", "mode", "step", "target mIoU", "regret")
        table.columns[0].overflow = "fold"
        for column in table.columns[2:]:
            column.justify = "right"
        for name, mode, step, miou, regret in rows:
            short = name.removeprefix("val/target/unsupervised/")
            table.add_row(short, mode, f"{step:,}", f"{100 * miou:.1f} %", f"{100 * regret:.1f}")
        Console().print(
            f"\n[bold]choosing a checkpoint without target labels[/bold]: {len(target)} validations, the best has "
            f"{100 * target[best]:.1f} % (step {self.validations[best][STEP]:,})",
            soft_wrap=True,
        )
        Console().print(table)
        best_step = int(self.validations[best][STEP])
        try_to_write_csv(
            self.folder / "selection.csv",
            ["score", "mode", "step", "target_miou", "regret", "best_step", "best_target_miou"],
            ([*row, best_step, target[best]] for row in rows),
        )

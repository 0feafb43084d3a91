"""The scores of a validation or a test, as a table in the terminal and a CSV beside the run."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lightning_app.metrics import Scores
from lightning_app.segmenter import Segmenter
from lightning_app.writing import try_to_write_csv


class ScoreTable(Callback):
    """Shows and writes the scores by domain and class: after ``validate``, after ``test``, and at the end of ``fit``.

    Args:
        folder: folder of ``validate.csv``, ``test.csv`` and, for the last validation of a fit, ``fit.csv``; averages of
            networks go to ``validate_averaged.csv`` and ``test_averaged.csv``, beside what the run itself reached.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reports ``lightning validate``; the validations within a fit are in the log."""
        if not trainer.sanity_checking and trainer.state.fn == "validate":
            self._report(trainer, pl_module, "validate")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reports ``lightning test``."""
        self._report(trainer, pl_module, "test")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reports the last validation of a fit."""
        self._report(trainer, pl_module, "fit")

    @rank_zero_only
    def _report(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        assert isinstance(pl_module, Segmenter)
        if not pl_module.scores and not pl_module.unsupervised:
            return
        title = {"fit": "last validation", "validate": "validation"}.get(stage, stage)
        used = pl_module.labels_used
        note = f"{used} target labels used in training"
        averaged = len(pl_module.others)
        if averaged:
            note = f"mean of {averaged + 1} networks' probabilities, {note}"
        # Not the table's own title, which would be broken to the table's width.
        Console().print(f"\n[bold]{title}[/bold]: {note}")
        if pl_module.scores:
            Console().print(score_table(pl_module.classes, pl_module.scores))
        for domain, scores in pl_module.scores.items():
            if scores.absent:
                Console().print(f"{domain}: no pixel of {', '.join(scores.absent)}; left out of the means")
        if pl_module.unsupervised:
            told = ", ".join(f"{name} {value:.4f}" for name, value in pl_module.unsupervised.items())
            Console().print(f"target, by scores that need no labels: {told}", soft_wrap=True)
        if not getattr(trainer, "fast_dev_run", False):
            path = self.folder / f"{stage}{'_averaged' if averaged else ''}.csv"
            write_scores(path, pl_module.scores, pl_module.unsupervised)
            Console().print(f"Scores: {path}", soft_wrap=True)


def score_table(classes: list[str], scores: dict[str, Scores]) -> Table:
    """Makes the terminal's table: one row a score or class, one column a domain, in percent."""
    table = Table("", *(escape(place).replace("/", "/\n") for place in scores))
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify, column.overflow = "right", "fold"
    for name in dict.fromkeys(name for one in scores.values() for name in _summary(one)):
        table.add_row(name, *(f"{100 * _summary(one)[name]:.1f} %" for one in scores.values()))
    table.add_section()
    for name in classes:
        table.add_row(escape(name), *(f"{100 * s.iou[name]:.1f}" if name in s.iou else "–" for s in scores.values()))
    return table


def write_scores(path: Path, scores: dict[str, Scores], unsupervised: dict[str, float]) -> None:
    """Writes one row a domain and class or summary, with IoU and Dice in [0, 1]; absent classes have no numbers.

    Behind them come the target's scores that need no labels, as ``unsupervised/<name>``.
    """
    rows: list[tuple[str, str, float | str]] = []
    for domain, one in scores.items():
        rows += [(domain, name, value) for name, value in _summary(one).items()]
        rows += [(domain, f"IoU {name}", value) for name, value in one.iou.items()]
        rows += [(domain, f"Dice {name}", value) for name, value in one.dice.items()]
        rows += [(domain, f"IoU {name}", "") for name in one.absent]
    rows += [("target", f"unsupervised/{name}", value) for name, value in unsupervised.items()]
    try_to_write_csv(path, ["domain", "score", "value"], rows)


def _summary(scores: Scores) -> dict[str, float]:
    shared = {} if scores.shared_miou is None else {"mIoU of shared classes": scores.shared_miou}
    ece = {} if scores.ece is None else {"ECE": scores.ece}
    return {"mIoU": scores.miou, **shared, "pixel accuracy": scores.pixel_accuracy, "Dice": scores.mean_dice, **ece}

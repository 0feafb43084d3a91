"""What a run is made of and what it came to, as tables in the terminal."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.table import Table

from lightning_app.callbacks.run_record import RunRecord
from lightning_app.progress import duration
from lightning_app.writing import as_text


class RunTable(Callback):
    """Prints a table at the start of a fit and one at its end.

    Args:
        record: what notes the run; it comes before this callback.
    """

    def __init__(self, record: RunRecord) -> None:
        self.record = record

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints what the run is made of."""
        noted = self.record.noted
        rows = {
            "strategy": noted["strategy"],
            "domains": " → ".join(name for name in (noted["source"], noted["target"]) if name),
            **{
                f"{role} images": ", ".join(
                    f"{split['images']:,} {name}" for name, split in noted["data"][role].items()
                )
                for role in ("source", "target")
                if role in noted.get("data", {})
            },
            "target labels used": f"{noted['labels_used']:,}",
            "parameters": f"{noted['parameters']:,}, of which {noted['trainable_parameters']:,} train",
            "images a step": " + ".join(f"{images:,} {stream}" for stream, images in noted["batch"].items()),
            "steps": f"{noted['max_steps']:,}"
            + (f", of which {trainer.global_step:,} are done" if trainer.global_step else ""),
            "precision": noted["precision"],
            "devices": _devices(noted["hardware"]["devices"]),
            "folder": f"{self.record.folder}",
        }
        _print(rows)

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints what it took and where it is."""
        noted, folder = self.record.noted, self.record.folder
        if not noted:  # a run that was at its end already
            return
        rows = {
            "time": f"{duration(noted['seconds'])} for {noted['steps']:,} steps",
            "images a second": f"{noted['images_per_second']:.1f}, without validations",
            "peak memory": f"{noted['peak_memory_mib']:,.0f} MiB",
        }
        best = trainer.checkpoint_callback
        if isinstance(best, ModelCheckpoint) and best.best_model_path:
            score = "" if best.best_model_score is None else f" ({best.monitor} {float(best.best_model_score):.4f})"
            rows["best checkpoint"] = f"{_shorter(best.best_model_path)}{score}"
        rows["files"] = f"{folder}"
        _print(rows)


def _print(rows: dict[str, str]) -> None:
    table = Table("", "", show_header=False)
    table.columns[1].overflow = "fold"
    for name, value in rows.items():
        table.add_row(name, as_text(value))
    Console().print(table)


def _shorter(path: str) -> str:
    """Returns a path as it would be typed: relative, if it lies within the working directory."""
    here = Path.cwd()
    return str(Path(path).relative_to(here) if Path(path).is_relative_to(here) else path)


def _devices(names: list[str]) -> str:
    return f"{len(names)} × {names[0]}" if len(set(names)) == 1 else ", ".join(names)

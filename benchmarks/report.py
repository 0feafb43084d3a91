"""A benchmark's rows in the terminal and in a file."""

import csv
import os
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.comparison import Comparison


def report(title: str, rows: Iterable[Comparison], path: Path) -> None:
    """Writes each row as soon as it is measured, and shows the table at the end.

    Args:
        title: what was measured beside what.
        rows: the rows; measured while they are asked for.
        path: CSV file; its folder is made when missing. An older file is replaced.
    """
    made: dict[str, object] = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    if torch.cuda.is_available():
        made["gpu"] = torch.cuda.get_device_name()
    table = Table("", "unit", "Segue", "beside it", "ratio", "min–max", "pairs", "target", title=title, box=SIMPLE_HEAD)
    for column in table.columns[2:]:
        column.justify = "right"
    table.caption = ", ".join(f"{name}: {value}" for name, value in made.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*(field.name for field in fields(Comparison)), *made])
        writer.writeheader()
        for row in rows:
            writer.writerow({**{name: _short(value) for name, value in asdict(row).items()}, **made})
            file.flush()
            table.add_row(
                row.case,
                row.unit,
                f"{row.segue:.3g}",
                f"{row.reference:.3g}",
                f"{row.ratio:.3f}",
                f"{row.lowest:.2f}–{row.highest:.2f}",
                f"{row.pairs}",
                row.goal,
            )
    Console().print(table, f"Rows: {path}\n", soft_wrap=True)


def _short(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value

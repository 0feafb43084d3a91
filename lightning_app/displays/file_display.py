"""Pictures and tables as plain files in the run's folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from lightning_app.displays.display import SCORED_PANEL, VALIDATION_PANEL, Display, PanelRow, TableCell
from lightning_app.displays.tiles import combined, tiles
from lightning_app.pictures import class_colors, paint
from lightning_app.writing import write_csv, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUALITY = 75
"""Of photographs and of what is laid over them; masks are stored without loss."""

CELLS = {VALIDATION_PANEL: "last", SCORED_PANEL: "validate"}
"""Panels whose single pictures are kept, and in which folder."""


class FileDisplay(Display):
    """Writes into the folder ``pictures`` of a run.

    A panel is ``<name>_<step>.png``, that of the validation ``step_<step>.png``. Of the last validation its single
    pictures are in ``last``, and those of ``lightning validate`` in ``validate``, with ``panel.json``, which says what
    they are. A figure is ``<name>.png`` and a table ``<name>.csv``, of the last time it was shown.

    Args:
        folder: the run's folder; what is missing of it is made when there is something to show.
        classes: the class names, in the order of the ids.
    """

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.folder = folder / "pictures"
        self.classes = classes
        self.colors = class_colors(classes)

    def panel(self, name: str, rows: Sequence[PanelRow], step: int) -> None:
        """Writes one picture, and of the validation's panel the single ones too."""
        stem = "step" if name == VALIDATION_PANEL else name
        picture = combined(rows, self.classes, self.colors)
        # Hardly larger than at the usual level, and written in a third of the time.
        write_whole(
            self.folder / f"{stem}_{step:06d}.png", lambda path: picture.save(path, format="png", compress_level=3)
        )
        if name in CELLS:
            self._write_cells(self.folder / CELLS[name], rows, step)

    def _write_cells(self, folder: Path, rows: Sequence[PanelRow], step: int) -> None:
        described: list[dict[str, Any]] = []
        for index, row in enumerate(rows):
            cells: dict[str, str] = {}
            for title, picture in tiles(row, self.colors).items():
                cells[title] = f"{row.domain}_{index}_{title}.webp"
                cell, lossless = Image.fromarray(paint(picture, self.colors)), title in row.masks
                write_whole(
                    folder / cells[title],
                    # Bound now: the loop goes on.
                    lambda path, cell=cell, lossless=lossless: cell.save(  # type: ignore[misc]  # no type for defaults
                        path, format="webp", quality=QUALITY, lossless=lossless
                    ),
                )
            described.append({"domain": row.domain, "name": row.name, "cells": cells})
        text = json.dumps({"step": step, "rows": described}, indent=2, ensure_ascii=False)
        write_whole(folder / "panel.json", lambda path: path.write_text(f"{text}\n", encoding="utf-8"))

    def figure(self, name: str, figure: "Figure", step: int) -> None:
        """Writes the figure in place of an earlier one."""
        write_whole(self.folder / f"{name}.png", lambda path: figure.savefig(path, format="png"))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[TableCell]], step: int) -> None:
        """Writes the table in place of an earlier one."""
        write_csv(self.folder / f"{name}.csv", columns, rows)

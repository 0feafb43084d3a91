"""Pictures and tables in TensorBoard."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger

from lightning_app.displays.display import Display, PanelRow, TableCell
from lightning_app.displays.tiles import combined
from lightning_app.pictures import class_colors

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TensorBoardDisplay(Display):
    """Shows panels and figures as images, and tables as text.

    Args:
        logger: the run's logger.
        classes: the class names, in the order of the ids.
    """

    def __init__(self, logger: TensorBoardLogger, classes: Sequence[str]) -> None:
        self.logger = logger
        self.classes = classes
        self.colors = class_colors(classes)

    def panel(self, name: str, rows: Sequence[PanelRow], step: int) -> None:
        """Shows all rows in one image."""
        picture = np.asarray(combined(rows, self.classes, self.colors))
        self.logger.experiment.add_image(name, picture, step, dataformats="HWC")

    def figure(self, name: str, figure: "Figure", step: int) -> None:
        """Shows the figure as an image."""
        self.logger.experiment.add_figure(name, figure, step, close=False)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[TableCell]], step: int) -> None:
        """Shows the table as Markdown."""
        lines = [columns, ["---"] * len(columns), *rows]
        text = "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)
        self.logger.experiment.add_text(name, text, step)


def _cell(cell: TableCell) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell).replace("|", r"\|").replace("\n", " ")

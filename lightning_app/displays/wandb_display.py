"""Pictures and tables in Weights & Biases."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch.loggers import WandbLogger
from numpy.typing import NDArray

from datamodules.batch import IGNORE
from lightning_app.displays.display import Display, PanelRow, TableCell
from lightning_app.displays.tiles import tiles
from lightning_app.pictures import class_colors, paint, to_rgb

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST_ID = 127
"""Larger ids become 0: wandb makes signed bytes of masks before it writes them."""


class WandbDisplay(Display):
    """Shows panels with masks that can be laid over the images, and tables that can be sorted.

    What belongs to a panel but cannot be laid over its image is shown as ``<name>/<title>``, image by image in the
    same order. All is logged as the logger logs numbers, by ``trainer/global_step``: the client's own step may not go
    back.

    Args:
        logger: the run's logger.
        classes: the class names, in the order of the ids.
    """

    def __init__(self, logger: WandbLogger, classes: Sequence[str]) -> None:
        self.logger = logger
        self.colors = class_colors(classes)
        self.ignore, self.right = len(classes), len(classes) + 1
        self.labels = dict(enumerate([*classes, "ignore", "right"]))

    def panel(self, name: str, rows: Sequence[PanelRow], step: int) -> None:
        """Shows each image with its masks."""
        import wandb

        shown: dict[str, list[Any]] = {}
        for row in rows:
            caption = f"{row.domain} {row.name}"
            laid_over = self._masks(row)
            masks = {title: {"mask_data": mask, "class_labels": self.labels} for title, mask in laid_over.items()}
            image = wandb.Image(to_rgb(row.image), caption=caption, masks=masks or None)
            shown.setdefault(name, []).append(image)
            for title, picture in tiles(row, self.colors).items():
                if title != "image" and title not in laid_over:
                    other = wandb.Image(paint(picture, self.colors), caption=caption)
                    shown.setdefault(f"{name}/{title}", []).append(other)
        self._log(shown, step)

    def _masks(self, row: PanelRow) -> dict[str, NDArray[Any]]:
        if self.right > LARGEST_ID:
            return {}  # they are shown beside the image
        masks = {title: np.where(mask == IGNORE, self.ignore, mask) for title, mask in row.masks.items()}
        if {"truth", "prediction"} <= masks.keys():
            truth, prediction = masks["truth"], masks["prediction"]
            judged = np.where(truth == prediction, self.right, prediction)
            masks["difference"] = np.where(truth == self.ignore, self.ignore, judged)
        return masks

    def figure(self, name: str, figure: "Figure", step: int) -> None:
        """Shows the figure as an image."""
        import wandb

        self._log({name: wandb.Image(figure)}, step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[TableCell]], step: int) -> None:
        """Shows a table."""
        import wandb

        self._log({name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])}, step)

    def _log(self, shown: dict[str, Any], step: int) -> None:
        self.logger.log_metrics(shown, step)

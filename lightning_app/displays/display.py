"""The one interface by which pictures, figures and tables leave a run."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from datamodules.domain import ImageArray, MaskArray

if TYPE_CHECKING:  # it takes a while to import, and a run without figures needs none of it
    from matplotlib.figure import Figure

TableCell = str | float | int
VALIDATION_PANEL = "val/panel"
"""The panel that every run has, of the same images, and that runs are compared by."""
SCORED_PANEL = "validate/panel"
"""The same of ``lightning validate``, whose checkpoint need not be the run's last."""


@dataclass(frozen=True)
class PanelRow:
    """One image of a panel, with what is known of its pixels.

    Where it has the masks ``truth`` and ``prediction``, a display also shows where they differ.

    Args:
        domain: the domain the image is of, such as ``target``.
        name: the image's name.
        image: (H, W, C) as :func:`lightning_app.pictures.to_rgb` takes it.
        masks: by title, (H, W) uint8 class ids, 255 = ignore.
        maps: by title, (H, W) float in [0, 1], such as ``confidence``.
        others: by title, (H, W, C) further images, such as the one that ``image`` was made of.
    """

    domain: str
    name: str
    image: ImageArray
    masks: Mapping[str, MaskArray] = field(default_factory=dict)
    maps: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    others: Mapping[str, ImageArray] = field(default_factory=dict)


class Display(ABC):
    """Shows what numbers cannot. Names are those of logs, such as ``val/panel``; ``step`` counts optimizer steps."""

    @abstractmethod
    def panel(self, name: str, rows: Sequence[PanelRow], step: int) -> None:
        """Shows images beside their masks and maps.

        Args:
            name: the panel's name.
            rows: its images, at least one, all with masks and maps of the same titles.
            step: optimizer steps done so far.
        """

    @abstractmethod
    def figure(self, name: str, figure: "Figure", step: int) -> None:
        """Shows a figure.

        Args:
            name: the figure's name.
            figure: made by ``matplotlib.figure.Figure``, not by pyplot, which would keep it.
            step: optimizer steps done so far.
        """

    @abstractmethod
    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[TableCell]], step: int) -> None:
        """Shows a table.

        Args:
            name: the table's name.
            columns: the headings.
            rows: as many cells each as there are columns.
            step: optimizer steps done so far.
        """

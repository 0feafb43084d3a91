"""A display that keeps what it is shown."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from lightning_app.displays.display import Display, PanelRow, TableCell


class Shown(NamedTuple):
    name: str
    rows: Sequence[PanelRow]
    step: int


class KeptDisplay(Display):
    """Keeps panels in the order in which they are shown."""

    def __init__(self) -> None:
        self.panels: list[Shown] = []

    def panel(self, name: str, rows: Sequence[PanelRow], step: int) -> None:
        self.panels.append(Shown(name, rows, step))

    def figure(self, name: str, figure: Figure, step: int) -> None:
        raise NotImplementedError

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[TableCell]], step: int) -> None:
        raise NotImplementedError

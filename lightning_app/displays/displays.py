"""All places where a run's pictures and tables are shown, behind one interface."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities import rank_zero_warn
from lightning_utilities.core.rank_zero import rank_zero_only

from lightning_app.displays.display import Display, PanelRow, TableCell
from lightning_app.displays.file_display import FileDisplay
from lightning_app.displays.tensorboard_display import TensorBoardDisplay
from lightning_app.displays.wandb_display import WandbDisplay

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Displays(Display):
    """Shows everything in the run's folder, and in each logger that can; on rank 0 alone.

    A display that fails, on a full disk or a server that does not answer, is told of once. The run goes on.

    Args:
        folder: the run's folder.
        classes: the class names, in the order of the ids.
    """

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.classes = classes
        self.files = FileDisplay(folder, classes)
        self.displays: list[Display] = [self.files]
        self._failed: set[Display] = set()

    def connect(self, loggers: Iterable[Logger]) -> None:
        """Adds the loggers that can show pictures and tables, and names those that cannot.

        Args:
            loggers: the trainer's.
        """
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                self.displays.append(WandbDisplay(logger, self.classes))
            elif isinstance(logger, TensorBoardLogger):
                self.displays.append(TensorBoardDisplay(logger, self.classes))
            elif not isinstance(logger, CSVLogger | DummyLogger):  # the one writes beside the files, the other nothing
                rank_zero_warn(
                    f"{type(logger).__name__} is sent numbers alone: pictures, figures and tables go to "
                    f"{self.files.folder}, and to WandbLogger and TensorBoardLogger."
                )

    def panel(self, name: str, rows: Sequence[PanelRow], step: int) -> None:
        """Shows images beside their masks and maps."""
        self._show(name, lambda display: display.panel(name, rows, step))

    def figure(self, name: str, figure: "Figure", step: int) -> None:
        """Shows a figure."""
        self._show(name, lambda display: display.figure(name, figure, step))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[TableCell]], step: int) -> None:
        """Shows a table."""
        self._show(name, lambda display: display.table(name, columns, rows, step))

    @rank_zero_only
    def _show(self, name: str, show: Callable[[Display], None]) -> None:
        for display in self.displays:
            try:
                show(display)
            except Exception as error:  # whatever a logger's code may raise: no picture is worth a training
                if display not in self._failed:
                    self._failed.add(display)
                    rank_zero_warn(
                        f"{type(display).__name__} could not show {name}: {type(error).__name__}: {error}. The run "
                        "goes on without; further failures of it are not told."
                    )

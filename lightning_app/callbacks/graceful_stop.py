"""Ctrl-C and SIGTERM: finish the step, save, leave."""

import signal
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from lightning_app.callbacks.last_checkpoint import LastCheckpoint
from lightning_app.segmenter import Segmenter


class GracefulStop(Callback):
    """Ends training after the running step when a signal asks for it, and writes a checkpoint to go on from.

    The first Ctrl-C or SIGTERM lets the step finish, so that a checkpoint never falls between the optimizer's step and
    the counters; a second one leaves at once. Where several ranks train, a signal to one of them stops all,
    two steps later.

    Args:
        last: writes the checkpoint.
    """

    def __init__(self, last: LastCheckpoint) -> None:
        self.last = last
        self._received: int | None = None
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the signals over; only the main thread can."""
        self._received = None
        if threading.current_thread() is not threading.main_thread():
            return

        def note(number: int, frame: FrameType | None) -> None:
            self._received = number
            self._restore()
            assert isinstance(pl_module, Segmenter)
            pl_module.stop_wanted = True
            rank_zero_info(f"{signal.Signals(number).name}: finishing the step and saving; once more leaves at once.")

        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, note)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Saves and leaves, on all ranks after the same step."""
        assert isinstance(pl_module, Segmenter)
        agreed = pl_module.stop_agreed if trainer.world_size > 1 else pl_module.stop_wanted
        # Within an accumulation there are gradients that no checkpoint holds.
        if agreed and not pl_module.accumulating:
            self.last.save(trainer)
            pl_module.warn_of_no_last_refresh()
            rank_zero_info(f"Stopped after step {trainer.global_step}. Go on with --ckpt_path {self.last.path}")
            raise SystemExit(128 + (self._received or signal.SIGTERM))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gives the signals back: before Lightning does, whose handlers these took the place of."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Gives the signals back."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._handlers = {}

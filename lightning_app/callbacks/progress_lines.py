"""Progress where the output is no terminal."""

import math
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from torch import Tensor

from datamodules.batch import DomainBatch
from lightning_app.callbacks.throughput import Throughput, log_interval
from lightning_app.progress import progress_figures
from lightning_app.segmenter import Segmenter

MOST_LINES = 100
"""So many lines tell of the steps of a run, beside those of validations."""


class ProgressLines(ProgressBar):
    """Prints plain lines: of steps of the log, at most 100 a run, of validations, and of what is evaluated.

    Args:
        throughput: what measures the fit; it comes before this callback.
    """

    def __init__(self, throughput: Throughput) -> None:
        super().__init__()
        self._throughput = throughput
        self._enabled = True
        self._validated = 0.0

    def disable(self) -> None:
        """Prints nothing any more."""
        self._enabled = False

    def enable(self) -> None:
        """Prints again."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as of print
        """Prints a line at once, also into a pipe."""
        if self._enabled:
            print(*args, **{"flush": True, **kwargs})

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Prints the step, if it is its turn."""
        if not self._throughput.measured or not self._enabled:
            return
        assert isinstance(pl_module, Segmenter)
        step, steps, every = trainer.global_step, pl_module.total_steps, log_interval(trainer)
        if step > every and step % (every * math.ceil(steps / (MOST_LINES * every))):
            return
        # Not what the step returned, which Lightning divides by accumulate_grad_batches.
        loss = float(trainer.progress_bar_metrics["loss"])
        figures = progress_figures(self._throughput, pl_module.scores, loss, step, steps)
        self.print(f"step {step} of {steps}: {', '.join(f'{name} {value}' for name, value in figures.items())}")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks at the clock."""
        self._validated = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the mIoU of a validation within a fit."""
        assert isinstance(pl_module, Segmenter)
        if trainer.state.fn == "fit" and pl_module.scores:
            of = ", ".join(f"{domain} {100 * scores.miou:.1f} %" for domain, scores in pl_module.scores.items())
            seconds = time.monotonic() - self._validated
            self.print(
                f"step {trainer.global_step} of {pl_module.total_steps}: mIoU {of} (validated in {seconds:.1f} s)"
            )

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Prints how far ``lightning validate`` is."""
        if trainer.state.fn == "validate":
            self.has_dataloader_changed(dataloader_idx)
            self._print_share("validated", batch_idx + 1, self.total_val_batches_current_dataloader)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Prints how far a test is."""
        self.has_dataloader_changed(dataloader_idx)
        self._print_share("tested", batch_idx + 1, self.total_test_batches_current_dataloader)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Prints how far a prediction is."""
        self.has_dataloader_changed(dataloader_idx)
        self._print_share("predicted", batch_idx + 1, self.total_predict_batches_current_dataloader)

    def passing(self, images: Collection[DomainBatch]) -> Iterator[DomainBatch]:
        """Prints that a strategy passes over the target images, and yields them."""
        self.print(f"passing over {len(images)} target images")
        yield from images

    def _print_share(self, what: str, done: int, total: float) -> None:
        """Prints every tenth of the images, if their number is known."""
        if total == math.inf:
            return
        if done == total or done % math.ceil(total / 10) == 0:
            self.print(f"{what} {done} of {total:.0f} images")

"""The progress bar of a terminal."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from rich.progress import TimeElapsedColumn
from torch import Tensor

from datamodules.batch import DomainBatch
from lightning_app.callbacks.throughput import Throughput
from lightning_app.progress import progress_figures
from lightning_app.segmenter import Segmenter


class TrainingBar(RichProgressBar):
    """Lightning's bar over all steps of the run, with the target's mIoU, images a second and the time left.

    Lightning's own begins anew in each epoch, and reads the loss in every step, for which a GPU is waited for: this one
    reads it in the steps of the log, which do so anyway.

    Args:
        throughput: what measures the fit; it comes before this callback.
    """

    def __init__(self, throughput: Throughput) -> None:
        super().__init__(refresh_rate=4)
        self._throughput = throughput

    @property
    def total_train_batches(self) -> int:
        """The optimizer steps of the run."""
        return int(self.trainer.estimated_stepping_batches)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows the bar when the run begins, and leaves it in later epochs."""
        if self.train_progress_bar_id is None and self.progress is not None:
            self.train_progress_bar_id = self._add_task(self.total_train_batches, f"{self.train_description:10}")
            self.progress.update(self.train_progress_bar_id, completed=trainer.global_step)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Moves the bar."""
        if self.is_disabled or self.progress is None:
            return
        self.on_train_epoch_start(trainer, pl_module)  # a resume within an epoch does not start one
        self._update(self.train_progress_bar_id, trainer.global_step)
        if self._throughput.measured:
            self._update_metrics(trainer, pl_module)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Returns what stands behind the bar."""
        assert isinstance(pl_module, Segmenter)
        given = super().get_metrics(trainer, pl_module)
        given.pop("v_num", None)
        loss = given.pop("loss", None)  # a resume may begin with a validation
        shown = loss if isinstance(loss, float) else None
        step, steps = trainer.global_step, self.total_train_batches
        return {**progress_figures(self._throughput, pl_module.scores, shown, step, steps), **given}

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """Returns what stands before it; Lightning's time left and steps a second are told behind it, smoother."""
        description, bar, steps, *_ = super().configure_columns(trainer)
        bar.bar_width = 20  # so that the figures stand in the same line of a window of usual width
        return [description, bar, steps, TimeElapsedColumn()]

    def passing(self, images: Collection[DomainBatch]) -> Iterator[DomainBatch]:
        """Shows a strategy's pass over the target images in a bar of its own, and yields them."""
        if self.is_disabled or self.progress is None:
            yield from images
            return
        task = self._add_task(len(images), "Target    ")
        try:
            for done, image in enumerate(images, 1):
                yield image
                self._update(task, done)
        finally:  # a strategy may not want all
            self.progress.remove_task(task)

"""The target images that a strategy passes over between two steps."""

from collections.abc import Callable, Iterable, Iterator
from typing import Self

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_warn

from datamodules.batch import DomainBatch
from lightning_app.inference import Windows, scaled, window_places
from strategies.base import Step, Strategy


class TargetBatches:
    """Hands out target images one at a time, on the device; each pass starts at the first.

    Args:
        images: whole images, as workers hand them over.
        module: where they go.
        windows: how large images are cut and scaled; None hands them out as they are.
        passing: begins a pass over the images: what shows progress yields them one by one.
    """

    def __init__(
        self,
        images: Iterable[DomainBatch],
        module: LightningModule,
        windows: Windows | None,
        passing: Callable[[Iterable[DomainBatch]], Iterator[DomainBatch]] = iter,
    ) -> None:
        self._images = images
        self._module = module
        self._windows = windows
        self._passing = passing

    @classmethod
    def of_run(cls, module: LightningModule, windows: Windows | None, strategy: str) -> Self:
        """Makes those of the run that a module trains in.

        Args:
            module: the module.
            windows: as above.
            strategy: the name of what passes over them, for errors.

        Raises:
            ValueError: if the run's data has no target images.
        """
        trainer = module.trainer
        data = getattr(trainer, "datamodule", None)
        if data is None or not hasattr(data, "target_images"):
            raise ValueError(f"{strategy} passes over the target: train it with a CrossDomainDataModule.")
        # What shows progress can show this too, if it is one of ours.
        return cls(data.target_images(), module, windows, getattr(trainer.progress_bar_callback, "passing", iter))

    def __iter__(self) -> Iterator[DomainBatch]:
        """Reads the images as they are asked for."""
        for whole in self._passing(self._images):
            height, width = whole["image"].shape[-2:]
            for rows, columns in window_places(height, width, self._windows):
                piece: DomainBatch = {**whole, "image": whole["image"][..., rows, columns]}
                # As Lightning moves a batch of training, with the data module's own hook.
                batch: DomainBatch = self._module.trainer.strategy.batch_to_device(piece, self._module.device, 0)
                yield {**batch, "image": scaled(batch["image"], self._windows)}
                whole.pop("skipped", None)  # counted with the first window


def passes_over_target(strategy: Strategy, step: Step) -> bool:
    """Tells whether a strategy's turn to pass over the target has come, as its ``refresh_every`` says."""
    every = strategy.refresh_every
    return every is not None and (step.index == step.total or (every != 0 and step.index % every == 0))


def warn_of_no_last_pass(strategy: Strategy, steps: int, total: int) -> None:
    """Says what a run lacks if it stops before its end, where its strategy passes over the target.

    Args:
        strategy: the strategy.
        steps: the steps that the run took.
        total: the steps of the whole run.
    """
    if strategy.refresh_every is not None and steps < total:
        rank_zero_warn(
            f"The run stops after {steps} of {total} steps, and so without the last pass over the target of "
            f"{strategy.name}: what a method takes from it, such as AdaptiveBatchNorm the target's statistics, is in "
            f"no checkpoint. Go on with --ckpt_path; with --trainer.max_steps {steps + 1} that is a single step."
        )

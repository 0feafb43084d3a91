"""The target images that a strategy passes over between two steps."""

from collections.abc import Callable, Iterable, Iterator

from lightning.pytorch import LightningModule

from datamodules.batch import DomainBatch
from lightning_app.inference import Windows, scaled, window_places


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

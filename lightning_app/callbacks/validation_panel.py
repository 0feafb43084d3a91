"""The same few validation images in every run, and what the network makes of them."""

from collections.abc import Mapping, Sized
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.batch import IGNORE, DomainBatch
from lightning_app.displays.display import SCORED_PANEL, VALIDATION_PANEL, Display, PanelRow
from lightning_app.displays.reduction import small_image, small_map, small_mask
from lightning_app.segmenter import Segmenter
from lightning_app.writing import printable

IMAGES = 3
"""Images of each domain, and of each part of a joined one."""


class ValidationPanel(Callback):
    """Shows image, truth, prediction, their difference and the confidence, once each validation.

    The images are three of each domain, evenly spaced in the order of the validation set: those in the middle of its
    thirds. So they depend on the data alone, and neither on the method nor on the seed nor on the number of devices.
    What is shown is what was scored: no image passes the network twice. Of a target without masks the truth is empty.
    In ``lightning validate`` the panel is called ``validate/panel``, and that of the run is left as it is.

    Args:
        display: where they are shown.
    """

    def __init__(self, display: Display) -> None:
        self.display = display
        self._rows: dict[tuple[int, int], PanelRow] = {}

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: DomainBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keeps the images that were chosen, small and on the CPU."""
        if trainer.sanity_checking or getattr(trainer, "fast_dev_run", False):
            return
        loaders: Any = trainer.val_dataloaders
        loader = loaders[dataloader_idx] if isinstance(loaders, list) else loaders
        chosen = _chosen(loader, trainer)
        first = batch_idx * (loader.batch_size or 1)
        for index, name in enumerate(batch["name"]):
            # Ranks take turns, without repeating any.
            place = (first + index) * trainer.world_size + trainer.global_rank
            if place in chosen:
                predicted = {name: of[index] for name, of in cast(Mapping[str, Tensor], outputs).items()}
                blank = torch.full_like(predicted["prediction"], IGNORE)
                self._rows[dataloader_idx, place] = PanelRow(
                    domain=batch["domain"],
                    name=printable(name),
                    image=small_image(batch["image"][index]),
                    masks={
                        "truth": small_mask(batch["mask"][index] if "mask" in batch else blank),
                        "prediction": small_mask(predicted["prediction"]),
                    },
                    maps={"confidence": small_map(predicted["confidence"])},
                )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows what all ranks kept."""
        rows, self._rows = self._rows, {}
        if trainer.world_size > 1:
            everyone: list[Any] = [None] * trainer.world_size
            torch.distributed.gather_object(rows, everyone if trainer.is_global_zero else None)
            rows = {place: row for of_rank in everyone if of_rank for place, row in of_rank.items()}
        if not (rows and trainer.is_global_zero):
            return
        assert isinstance(pl_module, Segmenter)
        ordered = [rows[place] for place in sorted(rows)]
        if trainer.state.fn == "fit":
            self.display.panel(VALIDATION_PANEL, ordered, trainer.global_step)
        else:
            name = "validate_averaged/panel" if pl_module.others else SCORED_PANEL
            self.display.panel(name, ordered, pl_module.loaded_step)


def _chosen(loader: DataLoader[Any], trainer: Trainer) -> set[int]:
    """Returns places in the validation set, among those that every rank reaches under ``limit_val_batches``."""
    limit, together = trainer.limit_val_batches, (loader.batch_size or 1) * trainer.world_size
    # Of a stream without a length the first images.
    images = len(loader.dataset) if isinstance(loader.dataset, Sized) else IMAGES
    if isinstance(limit, int):
        images = min(images, limit * together)
    elif limit is not None and limit < 1:
        images = int(images // together * limit) * together
    return {(2 * third + 1) * images // (2 * IMAGES) for third in range(IMAGES)}

"""What a method makes of its images while it trains: pseudo-labels, mixed, styled and masked images."""

from collections.abc import Iterator, Mapping

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_app.displays.display import Display, PanelRow
from lightning_app.displays.reduction import small_image, small_map, small_mask
from lightning_app.segmenter import Segmenter

IMAGES = 3
"""Images of the batch, at most."""


class TrainingPanel(Callback):
    """Shows what the strategy shows, as ``train/<name>``, in the last training step before each validation.

    Args:
        display: where it is shown.
    """

    def __init__(self, display: Display) -> None:
        self.display = display

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Asks for pictures where they will be shown: of other steps none are kept."""
        assert isinstance(pl_module, Segmenter)
        wanted = trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False)
        pl_module.draw = wanted and _validation_follows(trainer, batch_idx)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Shows them, and lets go of them."""
        assert isinstance(pl_module, Segmenter)
        shown = pl_module.step.shown
        for name, pictures in shown.items():
            self.display.panel(f"train/{name}", list(_rows(pictures)), trainer.global_step)
        shown.clear()


def _validation_follows(trainer: Trainer, batch_idx: int) -> bool:
    """Tells whether a validation will follow, unless it is one that the clock or a signal brings."""
    every, every_epochs = trainer.val_check_batch, trainer.check_val_every_n_epoch
    if not trainer.enable_validation or every is None or every == float("inf"):
        return False
    if every_epochs is None:
        return (trainer.fit_loop.total_batch_idx + 1) % every == 0
    return (batch_idx + 1) % every == 0 and (trainer.current_epoch + 1) % every_epochs == 0


def _rows(pictures: Mapping[str, Tensor]) -> Iterator[PanelRow]:
    images = {title: picture for title, picture in pictures.items() if picture.ndim == 4}
    flat = {title: picture for title, picture in pictures.items() if picture.ndim == 3}
    for index in range(min(IMAGES, *(len(picture) for picture in pictures.values()))):
        image, *others = ((title, small_image(picture[index])) for title, picture in images.items())
        yield PanelRow(
            domain="train",
            name=str(index + 1),
            image=image[1],
            masks={title: small_mask(mask[index]) for title, mask in flat.items() if not mask.is_floating_point()},
            maps={title: small_map(values[index]) for title, values in flat.items() if values.is_floating_point()},
            others=dict(others),
        )

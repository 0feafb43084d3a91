"""``last.ckpt``: what a run goes on from, whatever the best was."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer


class LastCheckpoint(Callback):
    """Writes ``last.ckpt`` after every validation and at the end of a fit.

    Lightning's own ``save_last`` writes it only in steps in which a best one was written too: its last checkpoint is
    the best by the monitor, and the steps since then are lost.

    Args:
        folder: folder of the checkpoint.
    """

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / "last.ckpt"
        self._saved_at = -1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves after the validations of a fit."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the steps since the last validation."""
        if self._saved_at != trainer.global_step:
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Writes the checkpoint, unless the run is a trial."""
        if not getattr(trainer, "fast_dev_run", False):
            trainer.save_checkpoint(self.path, weights_only=False)
            self._saved_at = trainer.global_step

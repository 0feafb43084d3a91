"""Negative transfer: said loudly when the target falls below what training on the source alone had reached."""

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only, rank_zero_warn
from rich.console import Console
from rich.text import Text

from datamodules.cross_domain_data_module import CrossDomainDataModule
from lightning_app.segmenter import Segmenter
from lightning_app.source_only_run import SourceOnlyRun


class TransferGuard(Callback):
    """Compares the target's mIoU with a source-only run's after every validation of a fit.

    Logs the difference as ``val/target/over_source_only``, warns whenever the target falls below, and says at the end
    how it came out. The source-only run counts with its last validation, as tables report last checkpoints.

    Args:
        reference: the source-only run.
        target: how this run's config describes the target.
        asked: whether the user named the run. If not, it is left out with a note where it cannot be compared.
    """

    def __init__(self, reference: SourceOnlyRun, target: object = None, asked: bool = True) -> None:
        self.reference = reference
        self.target = target
        self.asked = asked
        self._compares = False
        self._is_below = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that both runs are scored on the same images and classes.

        Raises:
            ValueError: if they are not, and the user named the run.
        """
        if getattr(trainer, "fast_dev_run", False):
            return
        assert isinstance(pl_module, Segmenter)
        reason = self._incomparable(getattr(trainer, "datamodule", None), pl_module.classes)
        self._compares = reason is None
        if reason is None:
            rank_zero_info(f"Guarding against negative transfer: source-only reached {self.reference} on the target.")
        elif self.asked:
            raise ValueError(f"--source_only cannot be compared with: {reason}")
        else:
            rank_zero_info(f"No guard against negative transfer: {reason}")

    def _incomparable(self, data: object, classes: list[str]) -> str | None:
        """Returns why the scores cannot be compared, and warns where they may not be."""
        reference = self.reference
        if isinstance(data, CrossDomainDataModule) and "target" not in data.scored("val"):
            return "this run has no labelled validation images of the target. Leave --source_only out."
        if reference.folder is None:
            return None
        if set(reference.classes) != set(classes):
            return (
                f"{reference.folder} was scored on the classes {', '.join(reference.classes)}, this run is on "
                f"{', '.join(classes)}. Train on the source alone with the same data."
            )
        if isinstance(data, CrossDomainDataModule):
            images = list(data.splits()["target"]["val"])
            if sorted(images) != sorted(reference.images):
                return (
                    f"{reference.folder} was scored on other target images, {len(reference.images)} of them and here "
                    f"{len(images)} (see its splits.yaml). Train on the source alone with the same data."
                )
        if reference.strategy != "SourceOnly":
            rank_zero_warn(f"{reference.folder} was trained by {reference.strategy} and not by SourceOnly.")
        if reference.target != self.target:
            rank_zero_warn(
                f"{reference.folder}/config.yaml describes the target in another way than this run: the comparison "
                "with it holds only if images and masks are the same."
            )
        return None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the difference, and warns when it becomes negative."""
        found = self._target_miou(pl_module)
        if found is None or trainer.sanity_checking or trainer.state.fn != "fit":
            return
        # The module's own log is closed by now; this is the step under which Lightning logs the scores themselves.
        step = trainer.fit_loop.epoch_loop._batches_that_stepped
        for logger in trainer.loggers:
            logger.log_metrics({"val/target/over_source_only": found - self.reference.miou}, step=step)
        is_below = found < self.reference.miou
        if is_below and not self._is_below:
            rank_zero_warn(
                f"{self._verdict(found)} (now at step {trainer.global_step}). If it stays so, keep the source-only "
                "network, or try a lower weight of the strategy's terms, a lower learning rate or another strategy."
            )
        self._is_below = is_below

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints how the last validation compares."""
        found = self._target_miou(pl_module)
        if found is not None:
            style = "bold red" if found < self.reference.miou else ""
            Console().print(Text(self._verdict(found), style), soft_wrap=True)

    def _target_miou(self, pl_module: LightningModule) -> float | None:
        assert isinstance(pl_module, Segmenter)
        scores = pl_module.scores.get("target")
        return scores.miou if scores is not None and self._compares else None

    def _verdict(self, found: float) -> str:
        both = f"val/target/miou is {100 * found:.2f} %, source-only reached {self.reference}"
        return f"NEGATIVE TRANSFER: {both}" if found < self.reference.miou else both

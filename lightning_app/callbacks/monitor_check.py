"""Refuses a monitor that will never be logged, before the first step instead of after the first validation."""

from difflib import get_close_matches

from lightning.pytorch import Callback, LightningModule, Trainer

from datamodules.cross_domain_data_module import CrossDomainDataModule
from lightning_app.metrics import metric_names, score_places
from lightning_app.segmenter import Segmenter


class MonitorCheck(Callback):
    """Compares what callbacks monitor with what validation will log."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks every ``ModelCheckpoint`` and ``EarlyStopping``.

        Raises:
            ValueError: naming the monitor, and the nearest names that will exist.
        """
        data = getattr(trainer, "datamodule", None)
        if (
            not isinstance(data, CrossDomainDataModule)
            or not isinstance(pl_module, Segmenter)
            or getattr(trainer, "fast_dev_run", False)
        ):
            return
        domains = data.scored("val")
        places = [place for domain, parts in domains.items() for place in score_places(domain, parts)]
        shared = len(data.shared_classes) < len(data.classes)
        known = [name for place in places for name in metric_names(f"val/{place}", pl_module.classes, shared)]
        for callback in [*trainer.checkpoint_callbacks, *trainer.early_stopping_callbacks]:
            monitor = getattr(callback, "monitor", None)
            if monitor is None or monitor in known or monitor.startswith("train/loss/"):
                continue
            instead = get_close_matches(monitor, known, n=3) or known[:3]
            where = [" and ".join(domains) or "no domain"]
            where += [f"{role}/val is empty" for role, side in data.sides.items() if not len(side.splits["val"])]
            raise ValueError(
                f"{type(callback).__name__} monitors '{monitor}', which will not be logged: labelled validation images "
                f"exist for {'; '.join(where)}. Set checkpoint.monitor (or the callback's) to "
                f"{' or '.join(instead) or 'null: last.ckpt is written all the same'}."
            )

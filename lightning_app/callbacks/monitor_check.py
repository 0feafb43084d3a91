"""Refuses a monitor that will never be logged, before the first step instead of after the first validation."""

from difflib import get_close_matches

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from datamodules.cross_domain_data_module import CrossDomainDataModule
from lightning_app.metrics import metric_names, score_places
from lightning_app.segmenter import Segmenter
from lightning_app.selection import UNSUPERVISED, mode_of


class MonitorCheck(Callback):
    """Compares what callbacks monitor with what validation will log, and which way with what is better."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks every ``ModelCheckpoint`` and ``EarlyStopping``.

        Raises:
            ValueError: naming the monitor, and the nearest names that will exist or the mode that fits it.
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
        lacking = _lacking(data, pl_module)
        known += [f"val/target/unsupervised/{name}" for name in UNSUPERVISED if name not in lacking]
        for callback in [*trainer.checkpoint_callbacks, *trainer.early_stopping_callbacks]:
            monitor = getattr(callback, "monitor", None)
            if monitor is None or monitor.startswith("train/loss/"):
                continue
            if monitor in known:
                _check_mode(callback, monitor)
                continue
            score = monitor.removeprefix("val/target/unsupervised/")
            if score in lacking and score != monitor:
                raise ValueError(
                    f"{type(callback).__name__} monitors '{monitor}', which will not be logged: {lacking[score]}"
                )
            instead = get_close_matches(monitor, known, n=3) or known[:3]
            where = [" and ".join(domains) or "no domain"]
            where += [f"{role}/val is empty" for role, side in data.sides.items() if not len(side.splits["val"])]
            raise ValueError(
                f"{type(callback).__name__} monitors '{monitor}', which will not be logged: labelled validation images "
                f"exist for {'; '.join(where)}. Set checkpoint.monitor (or the callback's) to "
                f"{' or '.join(instead) or 'null: last.ckpt is written all the same'}."
            )


def _lacking(data: CrossDomainDataModule, segmenter: Segmenter) -> dict[str, str]:
    """Returns the label-free scores that will not be logged, and why."""
    if "target" not in data.scored("val") and not len(data.unlabelled()):
        mend = "Set data.init_args.target."
        if "target" in data.sides:
            mend = "Put at least one for each device in target/val, or in target/train if that is empty."
        return dict.fromkeys(UNSUPERVISED, f"there are no target images to validate. {mend}")
    lacking: dict[str, str] = {}
    if "source" not in data.scored("val"):
        lacking["class_prior"] = "source/val has no labels that predictions could be compared with. Give it some masks."
    if not segmenter.augmentation_consistency:
        lacking["augmentation_consistency"] = (
            "it costs a second prediction of the target. Set model.augmentation_consistency: true."
        )
    if segmenter.strategy is None or segmenter.strategy.teacher is None:
        name = "the strategy" if segmenter.strategy is None else segmenter.strategy.name
        lacking["teacher_agreement"] = f"{name} has no teacher. Monitor another score, such as snd."
    return lacking


def _check_mode(callback: object, monitor: str) -> None:
    wanted = mode_of(monitor)
    if isinstance(callback, ModelCheckpoint | EarlyStopping) and callback.mode != wanted:
        key = "checkpoint.mode" if isinstance(callback, ModelCheckpoint) else "the callback's mode"
        raise ValueError(
            f"{type(callback).__name__} keeps what is {'largest' if callback.mode == 'max' else 'smallest'} of "
            f"'{monitor}', but of this {'more' if wanted == 'max' else 'less'} is better. Set {key} to {wanted}."
        )

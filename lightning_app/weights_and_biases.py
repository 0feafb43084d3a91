"""Weights & Biases, one line of a config away."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

if TYPE_CHECKING:
    from wandb import Run

STEP = "trainer/global_step"
_TIMEOUTS: dict[str, Any] = {"init_timeout": 10.0, "finish_timeout": 300.0}
"""Seconds; W&B's own start waits for 90, and its end for ever."""
_VARIABLES = {
    "project": "WANDB_PROJECT",
    "entity": "WANDB_ENTITY",
    "name": "WANDB_NAME",
    "group": "WANDB_RUN_GROUP",
    "tags": "WANDB_TAGS",
    "job_type": "WANDB_JOB_TYPE",
    "id": "WANDB_RUN_ID",
    "mode": "WANDB_MODE",
}
"""What of a run W&B's variables of the environment set: they win, or a sweep's agent could not name its runs."""


class WeightsAndBiases(WandbLogger):
    """Logs to Weights & Biases, and lets a run neither wait long for it nor end by it.

    Without a key, a network or a server that answers, the run is logged offline, which is said once; ``wandb sync``
    uploads it later. No key is ever asked for. Settings have their names on the command line, such as
    ``model.strategy.init_args.threshold``, so that a sweep's parameters and the config are the same keys; of each mIoU
    W&B's table has the highest and the last. Where several processes train, the first alone logs.

    Args:
        project: W&B's project.
        entity: team or user; None takes the account's own.
        offline: whether to log to the disk alone.
        log_model: whether checkpoints are uploaded as artifacts: at the end, or with ``all`` each as it is written.
        name: the run's name. On the command line the name of its folder.
        group: the group of runs it belongs to. On the command line "<source> → <target>".
        tags: labels to filter by. On the command line the class of the strategy, and those of the ones that it wraps.
        save_dir: folder in which ``wandb/`` is made. On the command line the run's folder.

    Raises:
        MisconfigurationException: if wandb is not installed, or ``log_model`` is wanted ``offline``.
    """

    def __init__(
        self,
        project: str = "segue",
        entity: str | None = None,
        offline: bool = False,
        log_model: bool | Literal["all"] = False,
        name: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        save_dir: str = ".",
    ) -> None:
        try:
            import wandb  # noqa: F401 - here, and not in the first step of a run that has waited in a queue for hours
        except ImportError as error:
            raise MisconfigurationException(
                "Weights & Biases is not installed: pip install segue[wandb], or leave trainer.logger out."
            ) from error
        super().__init__(
            name, save_dir, offline=offline, project=project, log_model=log_model, entity=entity, group=group, tags=tags
        )
        self._keeps_id = False
        self._owns_run = False
        self._failed = False
        self._best: set[str] = set()

    def describe(self, stage: str, group: str, tags: Sequence[str], resumed: bool) -> None:
        """Says what is logged, before the first use.

        Args:
            stage: ``fit``, ``validate`` or ``test``. Each is a run of its own, or scores of a checkpoint would bend the
                curves of its training.
            group: the group, if none was given.
            tags: the tags, if none were given.
            resumed: whether a fit goes on from a checkpoint: then so does the run that ``save_dir`` has of it, if any.
        """
        known = self._wandb_init
        known["job_type"] = stage
        known["group"] = known["group"] or group[:128]  # W&B takes no longer ones
        known["tags"] = known["tags"] or [tag[:64] for tag in tags]
        self._keeps_id = stage == "fit"
        if self._keeps_id and resumed and self._id_file.is_file():
            known["id"] = self._id = self._id_file.read_text(encoding="utf-8").strip()

    @property
    @rank_zero_experiment
    def experiment(self) -> "Run":
        """The run, begun at the first use."""
        import wandb

        # A run that the user began, or one handed over to a process that Lightning spawned, is taken as it is.
        if self._experiment is None and wandb.run is None and getattr(self, "_attach_id", None) is None:
            self._experiment = self._begin()
        return cast("Run", super().experiment)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any]) -> None:  # type: ignore[override]  # no Namespace comes here
        """Sends the settings under dotted names."""
        with self._surviving():
            config = self.experiment.config
            # What a sweep has set is locked, and W&B would tell of every key.
            super().log_hyperparams(
                {key: value for key, value in by_full_name(params) if key not in config or config[key] != value}
            )

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Logs numbers, pictures or tables.

        Args:
            metrics: values by name.
            step: zero-based index of the optimizer step.
        """
        with self._surviving():
            for name in metrics:
                # W&B's patterns have a star at the end alone.
                if name.endswith("/miou") and name not in self._best:
                    self._best.add(name)
                    self.experiment.define_metric(name, step_metric=STEP, step_sync=True, summary="max,last")
            super().log_metrics(metrics, step)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:  # noqa: ANN401 - Lightning's own ModelCheckpoint
        """Uploads checkpoints, where that is wanted."""
        with self._surviving():
            super().after_save_checkpoint(checkpoint_callback)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Ends the run; what is logged afterwards goes on with it.

        Args:
            status: ``success``, or how else the Trainer ended.
        """
        with self._surviving():
            super().finalize(status)
        if self._experiment is None or not self._owns_run:
            return
        self._wandb_init["id"] = self._id = self._experiment.id
        with self._surviving():
            self._experiment.finish(exit_code=0 if status == "success" else 1)
        self._experiment, self._owns_run = None, False
        self._best.clear()

    @property
    def _id_file(self) -> Path:
        return Path(self._save_dir or ".") / "wandb" / "run_id"

    def _begin(self) -> "Run":
        import wandb

        given = {key: value for key, value in self._wandb_init.items() if not os.environ.get(_VARIABLES.get(key, ""))}
        if os.environ.get("WANDB_SWEEP_ID"):  # whose project it is then
            given = {key: value for key, value in given.items() if key not in ("id", "project", "entity")}
        if self._offline and not os.environ.get("WANDB_MODE"):
            given["mode"] = "offline"
        timeouts = {key: value for key, value in _TIMEOUTS.items() if not os.environ.get(f"WANDB_{key.upper()}")}
        settings = wandb.Settings(**timeouts)
        Path(self._save_dir or ".").mkdir(parents=True, exist_ok=True)
        mode = given.get("mode") or wandb.setup().settings.mode
        try:
            if mode in ("online", "run", "shared"):
                if not wandb.login(prompt=False):
                    raise ValueError("there is no API key, see wandb login")
            else:
                given.pop("resume", None)  # of which W&B says that it is a matter of the server
            run = wandb.init(**given, settings=settings)
        except Exception as error:  # whatever it is, the training is worth more
            rank_zero_warn(
                f"W&B cannot be reached: {_first_line(error)}. The run is logged offline; upload it by the line "
                "'wandb sync' at its end. WANDB_MODE=offline says so from the start."
            )
            given.pop("resume", None)
            run = wandb.init(**{**given, "mode": "offline"}, settings=settings)
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP, step_sync=True)
        if self._keeps_id and run.id:
            self._id_file.parent.mkdir(exist_ok=True)
            self._id_file.write_text(f"{run.id}\n", encoding="utf-8")
        self._owns_run = True
        return run

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """Says once that W&B failed; what comes later is tried all the same."""
        try:
            yield
        except Exception as error:  # whatever it is, the training is worth more
            if not self._failed:
                rank_zero_warn(
                    f"W&B failed: {_first_line(error)}. The training goes on, and so does metrics.csv; what W&B has "
                    f"written so far lies under {Path(self._save_dir or '.') / 'wandb'}."
                )
            self._failed = True


def by_full_name(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields nested settings under the names that they have on the command line.

    Args:
        settings: values, or settings of their own, by name.
        prefix: what every name begins with.
    """
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from by_full_name(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0].rstrip(".")

"""What a run was made of, written into its folder."""

import json
import platform
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from lightning_utilities.core.rank_zero import rank_zero_only

from datamodules.cross_domain_data_module import CrossDomainDataModule
from lightning_app.callbacks.throughput import Throughput
from lightning_app.provenance import data_fingerprint, git_state, hardware, package_versions
from lightning_app.segmenter import Segmenter
from lightning_app.writing import write_whole

FORMAT = 1


class RunRecord(Callback):
    """Writes ``config.yaml``, ``splits.yaml`` and ``run.json`` of a fit that has begun, and tells the loggers.

    ``run.json`` is brought up to date at every validation and at the end, also after an interruption. The folder is the
    run's own and not the logger's, which for some loggers is the same in every run. A resumed run keeps the config and
    the time of its beginning.

    Args:
        folder: the run's folder.
        config: the configuration as YAML.
        command: what was typed.
        throughput: what measures the fit; it comes before this callback.

    Attributes:
        noted: what ``run.json`` holds; empty before the training begins.
    """

    def __init__(self, folder: Path, config: str, command: Sequence[str], throughput: Throughput) -> None:
        self.folder = folder
        self.config = config
        self.command = list(command)
        self.throughput = throughput
        self.noted: dict[str, Any] = {}
        self._started: str | None = None
        self._failed = False

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes on rank 0, and not before everything else was found to be in order."""
        assert isinstance(pl_module, Segmenter)
        self._started = self._started or _now()
        facts = self._describe(trainer, pl_module)
        self.noted = {**facts, "ended": None}
        if getattr(trainer, "fast_dev_run", False):
            return
        if not (self.folder / "config.yaml").exists():
            (self.folder / "config.yaml").write_text(self.config)
        data = getattr(trainer, "datamodule", None)
        if isinstance(data, CrossDomainDataModule):
            text = "".join(_splits(data))
            (self.folder / "splits.yaml").write_text(text, encoding="utf-8", errors="backslashreplace")
        self._write(trainer)
        for logger in trainer.loggers:
            logger.log_hyperparams({**yaml.safe_load(self.config), "record": facts})

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Brings ``run.json`` up to date."""
        if not trainer.sanity_checking:
            self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes the end."""
        self._end(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Notes the end."""
        self._end(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Returns when the run began."""
        return {"started": self._started}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps when the run that is resumed began."""
        self._started = state_dict["started"]

    def _end(self, trainer: Trainer) -> None:
        if self.noted:
            self.noted["ended"] = _now()
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        if not self.noted:  # another rank's, or nothing has begun
            return
        self.noted |= {
            "steps": trainer.global_step,
            "seconds": round(self.throughput.seconds, 1),
            "peak_memory_mib": round(self.throughput.memory_mib, 1),
            "images_per_second": round(self.throughput.images_per_second, 3),
        }
        if getattr(trainer, "fast_dev_run", False):
            return
        path = self.folder / "run.json"
        text = json.dumps(self.noted, indent=2) + "\n"
        try:
            write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
        except OSError as error:
            if not self._failed:
                rank_zero_warn(f"{path} cannot be written: {error.strerror}. Training goes on; it is tried again.")
            self._failed = True

    def _describe(self, trainer: Trainer, segmenter: Segmenter) -> dict[str, Any]:
        data = getattr(trainer, "datamodule", None)
        ours = data if isinstance(data, CrossDomainDataModule) else None
        names = {role: domain.name or type(domain).__name__ for role, domain in ours.domains.items()} if ours else {}
        together = trainer.world_size * trainer.accumulate_grad_batches
        parameters = list(segmenter.parameters())
        assert segmenter.strategy is not None
        return {
            "format": FORMAT,
            "strategy": segmenter.strategy.name,
            "source": names.get("source", ""),
            "target": names.get("target", ""),
            "classes": segmenter.classes,
            "labels_used": segmenter.labels_used,
            "seed": segmenter.seed,
            "max_steps": segmenter.total_steps,
            "parameters": sum(parameter.numel() for parameter in parameters),
            "trainable_parameters": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
            "batch": {
                stream: loader.batch_size * together for stream, loader in dict(trainer.train_dataloader or {}).items()
            },
            "world_size": trainer.world_size,
            "precision": f"{trainer.precision}",
            "git": git_state(),
            "packages": package_versions(),
            "hardware": hardware(trainer.strategy.root_device, trainer.world_size),
            "python": platform.python_version(),
            "data": {} if ours is None else data_fingerprint(ours),
            "command": self.command,
            "started": self._started,
        }


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def read_split(path: Path, role: str, split: str) -> list[str]:
    """Reads the names of one split of ``splits.yaml``, line by line as they were written.

    Args:
        path: the file.
        role: ``source`` or ``target``.
        split: ``train``, ``val`` or ``test``.
    """
    place, names = ["", ""], []
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith("    - "):
                if place == [role, split]:
                    names.append(json.loads(line[6:]))
            elif line.startswith("    "):
                place[1] = line.strip().partition(":")[0]
            else:
                place = [line.strip().partition(":")[0], ""]
    return names


def _splits(data: CrossDomainDataModule) -> Iterator[str]:
    """Yields the lines of YAML: for a million images its own writer would take minutes."""
    yield "splits:\n"
    for role, splits in data.splits().items():
        yield f"  {role}:\n"
        for split, names in splits.items():
            yield f"    {split}:{'' if len(names) else ' []'}\n"
            yield from (f"    - {json.dumps(name, ensure_ascii=False)}\n" for name in names)
    yield f"labelled_target:{'' if len(data.labelled_names) else ' []'}\n"
    yield from (f"- {json.dumps(name, ensure_ascii=False)}\n" for name in data.labelled_names)

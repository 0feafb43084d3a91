"""What a run was made of, written into its folder."""

import json
from collections.abc import Iterator
from pathlib import Path

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning_utilities.core.rank_zero import rank_zero_only

from datamodules.cross_domain_data_module import CrossDomainDataModule


class RunRecord(Callback):
    """Writes ``config.yaml`` and ``splits.yaml`` of a fit that has begun, and sends the config to the loggers.

    The folder is the run's own and not the logger's, which for some loggers is the same in every run. A resumed run
    keeps the record of its beginning.

    Args:
        folder: the run's folder.
        config: the configuration as YAML.
    """

    def __init__(self, folder: Path, config: str) -> None:
        self.folder = folder
        self.config = config

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes on rank 0, and not before everything else was found to be in order."""
        if getattr(trainer, "fast_dev_run", False):
            return
        if not (self.folder / "config.yaml").exists():
            (self.folder / "config.yaml").write_text(self.config)
        data = getattr(trainer, "datamodule", None)
        if isinstance(data, CrossDomainDataModule):
            text = "".join(_splits(data))
            (self.folder / "splits.yaml").write_text(text, encoding="utf-8", errors="backslashreplace")
        for logger in trainer.loggers:
            logger.log_hyperparams(yaml.safe_load(self.config))


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

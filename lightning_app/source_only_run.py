"""What a source-only run reached on the target, read from what it left in its folder."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_app.callbacks.run_record import read_split
from lightning_app.selection import TARGET_MIOU


@dataclass(frozen=True)
class SourceOnlyRun:
    """The lower bound of a transfer.

    Attributes:
        miou: mIoU of the target's validation images at the last validation, in [0, 1].
        folder: the run's folder, or None where the number alone is known.
        step: after how many steps that was, where a CSV logger noted it.
        strategy: the class that trained it.
        classes: the class names that were scored.
        images: names of the target's validation images.
        target: how its config describes the target.
    """

    miou: float
    folder: Path | None = None
    step: int | None = None
    strategy: str = ""
    classes: Sequence[str] = ()
    images: Sequence[str] = ()
    target: Any = None

    @classmethod
    def read(cls, folder: Path) -> "SourceOnlyRun":
        """Reads a run's folder.

        Raises:
            ValueError: if it is no run's, or its last validation did not score the target.
        """
        if not (folder / "config.yaml").is_file():
            raise ValueError(f"{folder} is no run's folder: it has no config.yaml.")
        if not (folder / "fit.csv").is_file():
            raise ValueError(f"{folder} has no fit.csv: its fit did not reach its end, or validated nothing.")
        with (folder / "fit.csv").open(newline="") as file:
            scores = {row["score"]: row["value"] for row in csv.DictReader(file) if row["domain"] == "target"}
        if "mIoU" not in scores:
            raise ValueError(f"{folder}/fit.csv has no mIoU of the target: it had no labelled validation images.")
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        return cls(
            float(scores["mIoU"]),
            folder,
            _last_step(folder / "metrics"),
            "".join(strategies_of(config)[:1]),
            [name.removeprefix("IoU ") for name in scores if name.startswith("IoU ")],
            read_split(folder / "splits.yaml", "target", "val"),
            config["data"]["init_args"].get("target"),
        )

    def __str__(self) -> str:
        """Returns the value in percent and where it is from."""
        places = [] if self.folder is None else [str(self.folder)]
        places += [] if self.step is None else [f"step {self.step}"]
        return f"{100 * self.miou:.2f} %" + (f" ({', '.join(places)})" if places else "")


def strategies_of(config: dict[str, Any]) -> list[str]:
    """Returns the classes of the strategy in a recorded config and of those that it wraps, without their modules."""
    found, setting = [], config["model"].get("strategy")
    while setting:
        found.append(str(setting["class_path"]).rpartition(".")[-1])
        setting = (setting.get("init_args") or {}).get("base")
    return found


def _last_step(metrics: Path) -> int | None:
    """Returns after how many steps the last validation was that the CSV logger saw, over resumed parts of the run."""
    found = None
    # version_10 comes after version_9.
    for path in sorted(metrics.glob("version_*/metrics.csv"), key=lambda path: (len(path.parent.name), path)):
        with path.open(newline="") as file:
            steps = [row["step"] for row in csv.DictReader(file) if row.get(TARGET_MIOU)]
        # Lightning counts from 0, and `validate`, which may have written here later, is always at step 0.
        found = max(int(steps[-1]) + 1, found or 0) if steps else found
    return found

"""Runs read from their folders."""

import csv
import json
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from lightning_app.compare.image_counts import ImageCounts
from lightning_app.compare.method import learning_settings
from lightning_app.compare.run import STAGES, Curve, Missing, Picture, Run, dotted, labels_asked, strategy_name

Content = TypeVar("Content")


def read_runs(places: Sequence[Path]) -> list[Run]:
    """Reads the runs in some folders, each a run's or one of runs.

    Args:
        places: the folders.

    Raises:
        ValueError: if one is no folder, holds no run, or has a config that cannot be read.
    """
    folders: dict[Path, Path] = {}
    for place in places:
        found = list(_run_folders(place))
        if not found:
            raise ValueError(
                f"{place} {_why_no_run(place)} Name the folder of a run, such as runs/<name>, or a folder of runs."
            )
        folders |= {folder.resolve(): folder for folder in found if folder.resolve() not in folders}
    return [read_run(folder) for folder in folders.values()]


def read_run(folder: Path) -> Run:
    """Reads one run; only its config must be there.

    Args:
        folder: the run's folder.

    Raises:
        ValueError: if its config cannot be read.
    """
    reader = _Reader(folder)
    run = reader.run
    run.record = reader.read("run.json", _read_record, f"written when `lightning fit` begins; {_AGAIN}") or {}
    run.labels = run.record.get("labels_used")
    if run.labels is None and (folder / "splits.yaml").is_file():
        run.labels = _labels_in(folder / "splits.yaml")
    if run.labels is None:
        run.labels = labels_asked(run.config)
    for stage in STAGES:
        # Where there are test scores nobody misses the others.
        mend = reader.again("test") if stage == "test" else None
        scores = reader.read(f"{stage}.csv", _read_scores, mend)
        counts = reader.read(f"images_{stage}.csv", _read_counts, mend)
        if scores:
            run.scores[stage] = scores
        if counts:
            run.images[stage] = counts
    run.curves = reader.read("metrics", _read_curves, f"written by the CSVLogger, which is the default; {_AGAIN}") or {}
    # A fit without validations has those of a `lightning validate` that came after it.
    panel, alone = "pictures/last/panel.json", "pictures/validate/panel.json"
    panel = alone if not (folder / panel).exists() and (folder / alone).exists() else panel
    run.pictures = reader.read(panel, _read_panel, reader.again("validate")) or []
    return run


class _Reader:
    """Reads the files of one folder and notes those that cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            config = _read_config(folder / "config.yaml")
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{folder}/config.yaml cannot be read: {error}. Mend the file, or leave that run out."
            ) from error
        if not _is_segue(config):
            raise ValueError(f"{folder} {_FOREIGN} Leave it out, or name the folder of a run.")
        settings = dotted(config)
        self.run = Run(str(folder), settings, _origin(settings))

    def read(self, name: str, how: Callable[[Path], Content], mend: str | None) -> Content | None:
        """Returns the content of a file, or None after noting why there is none, and the mend if it will be missed."""
        path = self.folder / name
        if not path.exists():
            if mend is not None:
                self.run.missing.append(Missing(name, mend))
            return None
        try:
            return how(path)
        # A killed run may leave half a file; the other runs are to be compared all the same.
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"{name} (unreadable: {type(error).__name__}: {error})"
            self.run.missing.append(Missing(what, mend or "take the file away"))
            return None

    def again(self, command: str) -> str:
        """Returns the line by which a command scores the run, in this folder and not where it was trained."""
        config, checkpoint = f"{self.folder}/config.yaml", f"{self.folder}/checkpoints/last.ckpt"
        return shlex.join(["lightning", command, "--config", config, "--ckpt_path", checkpoint, "--run", "null"])


_AGAIN = "train again to have it"
_FOREIGN = "is no run of Segue: its config.yaml has no model and data."


def _run_folders(place: Path) -> Iterator[Path]:
    """Yields the runs below a folder; what lies within a run, such as a logger's own folders, is none."""
    if (place / "config.yaml").is_file():
        yield place
        return
    for root, folders, files in os.walk(place):
        if "config.yaml" in files and _mentions_model(Path(root) / "config.yaml"):
            folders.clear()
            yield Path(root)
        folders.sort()


def _why_no_run(place: Path) -> str:
    if not place.exists():
        return f"does not exist (the working directory is {Path.cwd()})."
    if not place.is_dir():
        return "is no folder."
    return "holds no run: there is no config.yaml of a run in it or below."


def _mentions_model(path: Path) -> bool:
    """Whether a config found by searching is a run's, and not a logger's; one that is broken is reported later."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return any(line.startswith("model:") for line in file)


def _read_config(path: Path) -> Any:  # noqa: ANN401 - whatever a YAML file holds
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _is_segue(config: object) -> bool:
    return isinstance(config, dict) and all(isinstance(config.get(key), dict) for key in ("model", "data"))


def _origin(config: dict[str, Any], seen: frozenset[Path] = frozenset()) -> str | None:
    """Tells of which training ``model.init_from`` is a checkpoint, if that run is still there."""
    checkpoint = Path(config.get("model.init_from", ""))
    path = checkpoint.parent.parent / "config.yaml"
    if path in seen:
        return None
    try:
        origin = _read_config(path)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return None
    if not _is_segue(origin):
        return None
    settings = dotted(origin)
    made_of = json.dumps(learning_settings(settings, _origin(settings, seen | {path})), sort_keys=True)
    return f"{checkpoint.name} of {strategy_name(settings)}, config {sha256(made_of.encode()).hexdigest()[:6]}"


def _read_record(path: Path) -> dict[str, Any]:
    record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict):
        raise TypeError("no object")
    return record


def _labels_in(path: Path) -> int | None:
    """Counts the target images whose labels were given; the file may list a million others."""
    counted = None
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("labelled_target:"):
                counted = 0
            elif counted is not None and line.startswith("- "):
                counted += 1
    return counted


def _read_scores(path: Path) -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = {}
    for row in _rows(path):
        if row["value"]:
            scores.setdefault(row["domain"], {})[row["score"]] = float(row["value"])
    return scores


def _read_counts(path: Path) -> ImageCounts | None:
    rows = [row for row in _rows(path) if row["domain"] == "target"]
    return ImageCounts.from_rows(rows) if rows else None


def _read_curves(metrics: Path) -> dict[str, Curve]:
    """Reads what a fit logged; a resumed one has a file a part, and the later part is right where they overlap."""
    points: dict[str, dict[int, float]] = {}
    # version_10 comes after version_9.
    for path in sorted(metrics.glob("version_*/metrics.csv"), key=lambda path: (len(path.parent.name), path)):
        rows = _rows(path)
        # `test` and `validate` write here too, always at step 0.
        if not any(name.startswith("train/") for row in rows[:1] for name in row):
            continue
        for row in rows:
            for name, value in row.items():
                if value and name.startswith(("train/", "val/")):
                    # Lightning notes the index of the step.
                    points.setdefault(name, {})[int(row["step"]) + 1] = float(value)
    return {
        name: Curve(np.array(sorted(of), dtype=np.int64), np.array([of[step] for step in sorted(of)]))
        for name, of in points.items()
    }


def _read_panel(path: Path) -> list[Picture]:
    panel = json.loads(path.read_text(encoding="utf-8"))
    return [
        Picture(str(row["domain"]), str(row["name"]), {what: path.parent / file for what, file in row["cells"].items()})
        for row in panel["rows"]
    ]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))

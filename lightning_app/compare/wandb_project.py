"""Runs read from a project of W&B, as far as its API goes: no counts by image, and no pictures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lightning_app.compare.run import Curve, Missing, Run, dotted, labels_asked

_LOGGED = {"test": "test", "val": "fit"}
"""Stage by the first part of what was logged: the last validation of a fit is all that a summary keeps."""
_SCORES = {"miou": "mIoU", "pixel_accuracy": "pixel accuracy", "dice": "Dice"}
_RECORD = "record."
"""Before the keys of ``run.json`` in the config."""
_HISTORY = 500
"""Points of a curve that are asked for."""


def read_project(project: str, api: Any = None) -> list[Run]:  # noqa: ANN401 - wandb.Api is untyped
    """Reads the runs of a project.

    Args:
        project: ``entity/project``.
        api: a ``wandb.Api``; that of whoever is logged in by default.

    Raises:
        ValueError: if the project cannot be read or has no run of Segue.
    """
    try:
        if api is None:
            import wandb

            api = wandb.Api()
        runs = [_read(one) for one in api.runs(project) if "model.strategy" in dotted(dict(one.config))]
    except ImportError as error:
        raise ValueError("reading from W&B needs its package: pip install 'segue[wandb]'.") from error
    # Its own errors, and those of the network below it, have no common class.
    except Exception as error:
        raise ValueError(
            f"the project wandb:{project} cannot be read: {error}. Log in by `wandb login`, or name folders of runs."
        ) from error
    if not runs:
        raise ValueError(f"the project wandb:{project} has no run of Segue: no config with model.strategy.")
    return runs


def _read(found: Any) -> Run:  # noqa: ANN401 - wandb's run is untyped
    everything = dotted(dict(found.config))
    config = {key: value for key, value in everything.items() if not key.startswith(_RECORD)}
    record = {key.removeprefix(_RECORD): value for key, value in everything.items() if key.startswith(_RECORD)}
    run = Run(
        f"{found.name} ({found.id})", config, record=record, labels=record.get("labels_used", labels_asked(config))
    )
    for name, value in dict(found.summary).items():
        stage, domain, score = (*name.split("/", 2), "", "")[:3]
        # A summary of several kinds: the last is what the folders hold too, the best by target labels is no score.
        value = value.get("last") if hasattr(value, "get") else value
        if stage in _LOGGED and domain in ("source", "target") and isinstance(value, int | float):
            title = f"IoU {score.removeprefix('iou/')}" if score.startswith("iou/") else _SCORES.get(score)
            if title is not None:
                run.scores.setdefault(_LOGGED[stage], {}).setdefault(domain, {})[title] = float(value)
    run.curves = _curves(found.history(samples=_HISTORY, pandas=False))
    run.missing.append(Missing("counts by image, pictures", "W&B keeps none of them for this: name the run's folder"))
    return run


def _curves(rows: list[Mapping[str, Any]]) -> dict[str, Curve]:
    points: dict[str, dict[int, float]] = {}
    for row in rows:
        step = row.get("trainer/global_step", row.get("_step"))
        for name, value in row.items():
            if name.startswith(("train/", "val/")) and isinstance(value, int | float) and step is not None:
                points.setdefault(name, {})[int(step) + 1] = float(value)
    return {
        name: Curve(np.array(sorted(of), dtype=np.int64), np.array([of[step] for step in sorted(of)]))
        for name, of in points.items()
    }

"""One run as it is compared."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_app.compare.image_counts import ImageCounts

STAGES = {"test": "test images", "validate": "validation images", "fit": "validation images at the end of training"}
"""What scores are of, the best to compare by first; keys are the names of the files."""


@dataclass(frozen=True)
class Curve:
    """A number over training: ``steps`` done so far, and ``values`` of the same length."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Picture:
    """One image of the panel.

    Attributes:
        domain: ``source`` or ``target``.
        name: name of the image.
        cells: files by what they show: ``image``, ``truth``, ``prediction``, ``difference``, ``confidence`` …
    """

    domain: str
    name: str
    cells: dict[str, Path]


@dataclass(frozen=True)
class Missing:
    """Something that a run has not, and how to get it."""

    what: str
    mend: str


@dataclass
class Run:
    """A run.

    Attributes:
        name: the folder, or the name in a project of W&B.
        config: settings by dotted key, as they are typed: ``model.strategy`` is a class, ``model.strategy.level`` its
            argument; what is null is left out.
        origin: which training the weights are from that this run began with, where that is known; the same for all
            seeds of it.
        record: what ``run.json`` holds.
        labels: number of target labels given for training; None where nothing tells.
        scores: by stage and domain: ``mIoU``, ``IoU <class>`` …, in [0, 1].
        curves: by logged name, such as ``val/target/miou``.
        images: counts of the target's images, by stage.
        pictures: the panel of the last validation.
        missing: what is not there.
    """

    name: str
    config: dict[str, Any]
    origin: str | None = None
    record: dict[str, Any] = field(default_factory=dict)
    labels: int | None = None
    scores: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    images: dict[str, ImageCounts] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)

    @property
    def seed(self) -> int:
        """The seed of everything."""
        return int(self.config.get("seed_everything", 0))


def dotted(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a nested config by dotted keys as they are typed, without what is null.

    Args:
        config: settings; a class is ``class_path`` and ``init_args``. Keys may be dotted already.
        prefix: key of the settings themselves.
    """
    settings: dict[str, Any] = {}
    for name, value in config.items():
        # Not "a.init_args.b" and "a.class_path": --a CLASS --a.b is what one types.
        parts = [part for part in [prefix, *str(name).split(".")] if part not in ("", "init_args", "class_path")]
        key = ".".join(parts)
        if isinstance(value, dict):
            settings |= dotted(value, key)
        elif value is not None:
            settings[key] = value
    return settings


def strategy_name(config: dict[str, Any]) -> str:
    """Spells the strategy of a dotted config, wrappers as ``Outer(Inner)``."""
    names, key = [], "model.strategy"
    while isinstance(config.get(key), str):
        names.append(config[key].rpartition(".")[-1])
        key += ".base"
    return "(".join(names) + ")" * (len(names) - 1) if names else "none"


def labels_asked(config: dict[str, Any]) -> int | None:
    """Returns how many target labels a dotted config asks for; None for all of them, or a file of names."""
    labels = config.get("data.labels", "none")
    if labels == "none":
        return 0
    if isinstance(labels, list):
        return len(labels)
    return labels if isinstance(labels, int) else None

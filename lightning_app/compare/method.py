"""The runs of one method: the same but for the seed and the folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_app.compare.run import Run, strategy_name

_NOT_LEARNING = (
    "seed_everything",
    "model.seed",
    "model.augmentation_consistency",
    "data.seed",
    "run",
    "source_only",
    "ckpt_path",
    "weights_only",
    "predictions",
    "checkpoint",
    "data.workers",
    "trainer.default_root_dir",
    "trainer.logger",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.val_check_interval",
    "trainer.check_val_every_n_epoch",
    "trainer.limit_val_batches",
    "trainer.limit_test_batches",
    "trainer.num_sanity_val_steps",
)
"""Settings of seed, folder, display and validation: runs that differ in them alone are seeds of one method."""
_NAMED_BY = 3
"""A name tells so many settings at most."""
_LONGEST_VALUE = 32
"""Characters of a setting in a name; the table of settings has all of it."""


@dataclass
class Method:
    """Runs that differ only in seed and folder.

    Attributes:
        name: the strategy, and what sets the method apart from others of the same strategy.
        strategy: the strategy, wrappers as ``Outer(Inner)``.
        runs: the runs, by seed.
        settings: what they have in common, by dotted key.
    """

    name: str
    strategy: str
    runs: list[Run]
    settings: dict[str, str]

    @property
    def labels(self) -> int | None:
        """Number of target labels given for training; None where nothing tells."""
        return self.runs[0].labels

    def scores(self, stage: str, domain: str, score: str = "mIoU") -> list[float]:
        """Returns a score of each run that has it, in [0, 1]."""
        values = (run.scores.get(stage, {}).get(domain, {}).get(score) for run in self.runs)
        return [value for value in values if value is not None]

    def recorded(self, name: str) -> list[float]:
        """Returns a number of ``run.json`` of each run that has it."""
        return [float(run.record[name]) for run in self.runs if isinstance(run.record.get(name), int | float)]


def methods_of(runs: Sequence[Run]) -> list[Method]:
    """Sorts runs by method, and names the methods so that no two are called the same."""
    found: dict[str, Method] = {}
    for run in sorted(runs, key=lambda run: (run.seed, run.name)):
        settings = learning_settings(run.config, run.origin)
        key = json.dumps([settings, run.labels], sort_keys=True)
        if key not in found:
            found[key] = Method("", strategy_name(run.config), [], settings)
        found[key].runs.append(run)
    methods = list(found.values())
    for strategy in {method.strategy for method in methods}:
        same = [method for method in methods if method.strategy == strategy]
        apart = _short(different([[method.settings] for method in same]))
        for index, method in enumerate(same):
            told = [f"{key}={_cut(values[index])}" for key, values in apart.items() if values[index]]
            more = ", …" if len(told) > _NAMED_BY else ""
            method.name = strategy + (f" ({', '.join(told[:_NAMED_BY])}{more})" if told else "")
    names: dict[str, int] = {}
    for method in methods:
        names[method.name] = names.get(method.name, 0) + 1
        if names[method.name] > 1:
            method.name += f" #{names[method.name]}"
    return methods


def learning_settings(config: Mapping[str, Any], origin: str | None) -> dict[str, str]:
    """Returns the settings that decide what is learned, as text by dotted key.

    Args:
        config: settings by dotted key.
        origin: which training the weights of ``model.init_from`` are from, in place of a path that differs from seed
            to seed.
    """
    settings = {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in config.items()
        if not any(key == name or key.startswith(f"{name}.") for name in _NOT_LEARNING)
    }
    return settings | ({} if origin is None else {"model.init_from": origin})


def different(methods: Sequence[Sequence[Mapping[str, str]]]) -> dict[str, list[str]]:
    """Returns the keys whose values differ between runs.

    Args:
        methods: values by key, for each run of each method.

    Returns:
        By key one text a method: its value, with commas where its runs differ, empty where it has none.
    """
    keys = dict.fromkeys(key for runs in methods for run in runs for key in run)
    return {
        key: [", ".join(dict.fromkeys(run[key] for run in runs if key in run)) for runs in methods]
        for key in keys
        if len({run.get(key) for runs in methods for run in runs}) > 1
    }


def _cut(value: str) -> str:
    return value if len(value) <= _LONGEST_VALUE else f"{value[: _LONGEST_VALUE - 1]}…"


def _short(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    """Calls each key by its last part, where that is enough."""
    last = [key.rpartition(".")[-1] for key in rows]
    return {
        name if last.count(name) == 1 else key: values for (key, values), name in zip(rows.items(), last, strict=True)
    }

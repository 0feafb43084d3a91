"""All that is said about some runs: on the page, in Markdown, in CSV and in the terminal."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from lightning_app.compare.difference import Difference
from lightning_app.compare.method import Method, different, methods_of
from lightning_app.compare.run import STAGES, Run, dotted
from lightning_app.compare.statistics import (
    gap_closed,
    interval_over_images,
    interval_over_seeds,
    resampled_mean_ious,
)

_DATA = ("data.source", "data.target", "data.classes", "data.label_map")
_MADE_BY = ("git", "packages", "hardware", "python", "precision", "world_size", "steps", "batch")


class Comparison:
    """Runs on the same pair of domains, by method.

    Args:
        runs: the runs, at least one.
        baseline_run: name of a run of the method that the others are compared with; by default the source-only method
            with the highest target mIoU.

    Attributes:
        methods: the methods, by target mIoU.
        stage: what all scores are of: one of ``STAGES``.
        lower: the source-only method, if there is one.
        upper: fine-tuning on all target labels, if there is such a method.
        baseline: the method that the others are compared with, if there is one.

    Raises:
        ValueError: if the runs are of different domains or classes, or none is of the baseline's name.
    """

    def __init__(self, runs: Sequence[Run], baseline_run: str | None = None) -> None:
        _refuse_different_data(runs)
        self.runs = runs
        self.stage = _common_stage(runs)
        self.methods = sorted(methods_of(runs), key=lambda method: -self.target_miou(method))
        # Of several bounds the highest: the hardest to beat, the farthest to reach.
        self.lower = next((one for one in self.methods if one.strategy == "SourceOnly" and not one.labels), None)
        self.upper = next((one for one in self.methods if _is_fine_tuning_on_all(one)), None)
        self.baseline = self.lower if baseline_run is None else self._method_of(baseline_run)

    @property
    def groups(self) -> dict[int | None, list[Method]]:
        """The methods by number of target labels, fewest first and the unknown last; best first within a group."""
        counts = sorted({method.labels for method in self.methods}, key=lambda count: (count is None, count or 0))
        return {count: [method for method in self.methods if method.labels == count] for count in counts}

    @property
    def classes(self) -> list[str]:
        """The classes that any run was scored on, in their order."""
        scores = [
            run.scores.get(self.stage, {}).get(domain, {}) for run in self.runs for domain in ("target", "source")
        ]
        scored = dict.fromkeys(name for one in scores for name in one if name.startswith("IoU "))
        named: list[str] = next((run.record["classes"] for run in self.runs if "classes" in run.record), [])
        return list(dict.fromkeys([*map(str, named), *(name.removeprefix("IoU ") for name in scored)]))

    def target_miou(self, method: Method) -> float:
        """Returns the mean over the seeds, or −1 where nothing was scored, to come last."""
        return mean(method.scores(self.stage, "target") or [-1.0])

    def gap_closed(self, method: Method) -> str:
        """Returns the share of the gap between source-only and fine-tuning on all labels that a method closes."""
        lower, upper = (
            [] if bound is None else bound.scores(self.stage, "target") for bound in (self.lower, self.upper)
        )
        return gap_closed(method.scores(self.stage, "target"), lower, upper)

    def class_deltas(self, method: Method) -> dict[str, float]:
        """Returns the target IoU over the baseline's by class, means over the seeds; without what either has not."""
        if self.baseline is None:
            return {}
        deltas = {}
        for name in self.classes:
            own, base = (one.scores(self.stage, "target", f"IoU {name}") for one in (method, self.baseline))
            if own and base:
                deltas[name] = mean(own) - mean(base)
        return deltas

    def difference(self, method: Method, baseline: Method) -> Difference | None:
        """Returns how the target mIoU of two methods differs, or None where either has none."""
        own, base = (one.scores(self.stage, "target") for one in (method, baseline))
        if not own or not base:
            return None
        samples = [
            [self._samples[run.name] for run in one.runs if run.name in self._samples] for one in (method, baseline)
        ]
        complete = all(len(some) == len(one.runs) for some, one in zip(samples, (method, baseline), strict=True))
        over_images = interval_over_images(np.stack(samples[0]), np.stack(samples[1])) if complete else None
        return Difference(mean(own) - mean(base), over_images, interval_over_seeds(own, base))

    def over_baseline(self, method: Method) -> Difference | None:
        """Returns how a method differs from the baseline, or None of the baseline itself and where there is none."""
        return None if self.baseline is None or method is self.baseline else self.difference(method, self.baseline)

    @cached_property
    def image_count(self) -> int:
        """Number of target images over which the intervals are; 0 where runs have no common ones."""
        return len(self._common_images)

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know before trusting the table."""
        notes = []
        if self.stage != "test":
            without = [run.name for run in self.runs if "test" not in run.scores]
            notes.append(
                f"Scores of the {STAGES[self.stage]}, not of test images: {_some(without)} "
                f"{'has' if len(without) == 1 else 'have'} no test scores."
            )
        without = [run.name for run in self.runs if self.stage not in run.scores]
        if without:
            notes.append(f"No scores of the {STAGES[self.stage]}: {_some(without)}.")
        if len({run.record["steps"] for run in self.runs if "steps" in run.record}) > 1:
            notes.append("The runs did not train for equally many steps.")
        if len({str(run.record["hardware"]) for run in self.runs if run.record.get("hardware")}) > 1:
            notes.append("The runs are of different machines: their times and memory do not compare.")
        for method in self.methods:
            seeds = [run.seed for run in method.runs]
            if len(set(seeds)) < len(seeds):
                notes.append(f"{method.name} has runs of the same seed, which spread less than seeds would.")
        if self.baseline is None:
            notes.append(
                "No source-only run to compare with: train one by --model.strategy SourceOnly, or name another run by "
                "--baseline."
            )
        if self.upper is None:
            notes.append("No share of the gap: that takes FineTune with --data.labels all, from the source-only run.")
        others = [run.name for run in self.runs if self.stage in run.images and run.name not in self._samples]
        if others:
            notes.append(
                f"Other images than those of most runs were scored in {_some(others)}: no intervals over images."
            )
        return notes

    @cached_property
    def settings(self) -> dict[str, list[str]]:
        """The settings that differ, by dotted key: one value a method, empty where it has none."""
        return different([[method.settings] for method in self.methods])

    @cached_property
    def made_by(self) -> dict[str, list[str]]:
        """What made the runs, where it differs: one value a method, with commas where its seeds differ."""
        return different(
            [
                [
                    {key: f"{value}" for key, value in dotted(run.record).items() if key.partition(".")[0] in _MADE_BY}
                    for run in method.runs
                ]
                for method in self.methods
            ]
        )

    def _method_of(self, place: str) -> Method:
        for method in self.methods:
            if any(run.name == place or _same_folder(run.name, place) for run in method.runs):
                return method
        raise ValueError(
            f"--baseline {place} is none of the runs that are compared: {', '.join(run.name for run in self.runs)}."
        )

    @cached_property
    def _common_images(self) -> Sequence[tuple[str, str]]:
        """The images that most runs were scored on."""
        scored = [tuple(run.images[self.stage].images) for run in self.runs if self.stage in run.images]
        return max(scored, key=scored.count, default=())

    @cached_property
    def _samples(self) -> dict[str, NDArray[np.float64]]:
        """Resampled target mIoU by run, all on the same draws."""
        runs = [
            run
            for run in self.runs
            if self.stage in run.images and tuple(run.images[self.stage].images) == self._common_images
        ]
        if not runs:
            return {}
        return dict(
            zip((run.name for run in runs), resampled_mean_ious([run.images[self.stage] for run in runs]), strict=True)
        )


def _refuse_different_data(runs: Sequence[Run]) -> None:
    first = runs[0]
    for run in runs[1:]:
        for key in _DATA:
            values = [
                {name: value for name, value in one.config.items() if name == key or name.startswith(f"{key}.")}
                for one in (first, run)
            ]
            if values[0] != values[1]:
                told = [", ".join(f"{name}={value}" for name, value in one.items()) or "nothing" for one in values]
                raise ValueError(
                    f"{first.name} and {run.name} do not compare: {key} is {told[0]} in the one and {told[1]} in the "
                    "other. Compare the runs of one pair of domains and of the same classes at a time."
                )


def _common_stage(runs: Sequence[Run]) -> str:
    """Returns the stage whose target mIoU most runs have, the first of several; where none has any, of any scores."""

    def known(stage: str) -> tuple[int, int]:
        scores = [run.scores.get(stage, {}) for run in runs]
        return sum("mIoU" in one.get("target", {}) for one in scores), sum(map(bool, scores))

    return max(STAGES, key=known)


def _is_fine_tuning_on_all(method: Method) -> bool:
    return method.strategy == "FineTune" and method.settings.get("data.labels") == "all"


def _same_folder(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"

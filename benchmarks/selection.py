"""``make selection``: which score chooses a good checkpoint without target labels, on curves of ``make accuracy``."""

import argparse
import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import mean

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy import ROOT, chosen_pairs, run_folder
from benchmarks.accuracy_methods import METHODS, PAIRS
from lightning_app.compare.reading import read_run
from lightning_app.selection import SOURCE_MIOU, TARGET_MIOU, UNSUPERVISED, Mode, choose

RESULTS = ROOT / "benchmarks" / "results" / "selection_curves.csv"
UNLABELLED = [name for name, method in METHODS.items() if "--data.labels" not in method.options]
"""The methods among whose checkpoints there is something to choose without labels."""
SCORES: dict[str, Mode] = {"source_miou": "max", **UNSUPERVISED}
"""What can choose without target labels, and whether more or less of it is better."""
Regret = Callable[[Sequence["Checkpoint"]], float]


@dataclass(frozen=True)
class Checkpoint:
    """What one validation of a run found on the validation images of a pair.

    Attributes:
        pair: the pair of domains.
        method: the method.
        seed: its seed.
        steps: steps of the whole run.
        step: steps done so far.
        target_miou: mIoU on the target in [0, 1], by its labels, which nothing is chosen by.
        scores: what can choose, by name; a score that the method does not have is left out.
    """

    pair: str
    method: str
    seed: int
    steps: int
    step: int
    target_miou: float
    scores: dict[str, float]

    def row(self) -> dict[str, object]:
        """Returns the row of the file."""
        own = {name: value for name, value in vars(self).items() if name != "scores"}
        own["target_miou"] = round(self.target_miou, 6)
        return own | {name: round(self.scores[name], 6) if name in self.scores else "" for name in SCORES}


def read(path: Path, steps: int | None = None) -> list[Checkpoint]:
    """Reads the curves of runs of so many steps, or of all; none if there is no file yet."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        found = [
            Checkpoint(
                row["pair"],
                row["method"],
                int(row["seed"]),
                int(row["steps"]),
                int(row["step"]),
                float(row["target_miou"]),
                {name: float(row[name]) for name in SCORES if row[name]},
            )
            for row in csv.DictReader(file)
        ]
    return [one for one in found if steps in (None, one.steps)]


def read_curves(pair: str, method: str, seed: int, steps: int, folder: Path) -> list[Checkpoint]:
    """Reads what the validations of a run found; nothing if there is no such run, or if it has not ended.

    Args:
        pair: one of the pairs.
        method: one of the methods.
        seed: its seed.
        steps: its training steps.
        folder: the folder of the runs of ``make accuracy``.
    """
    here = run_folder(folder, pair, method, seed, steps)
    if not (here / "fit.csv").is_file():
        return []
    logged = {"source_miou": SOURCE_MIOU, **{name: f"val/target/unsupervised/{name}" for name in UNSUPERVISED}}
    curves = {
        name: dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))
        for name, curve in read_run(here).curves.items()
    }
    return [
        Checkpoint(
            *(pair, method, seed, steps, step, miou),
            {score: curves[name][step] for score, name in logged.items() if step in curves.get(name, {})},
        )
        for step, miou in curves.get(TARGET_MIOU, {}).items()
    ]


def regret_of(score: str) -> Regret:
    """Returns how much worse than the best is what a score chooses, in mIoU."""

    def regret(choices: Sequence[Checkpoint]) -> float:
        place = choose([one.scores[score] for one in choices], SCORES[score])
        return _best(choices) - choices[place].target_miou

    return regret


REGRETS: dict[str, Regret] = {
    **{score: regret_of(score) for score in SCORES},
    "last": lambda choices: _best(choices) - choices[-1].target_miou,
    "chance": lambda choices: _best(choices) - mean(one.target_miou for one in choices),
}
"""The columns of the tables."""


def regrets(choices: Sequence[Sequence[Checkpoint]]) -> dict[str, float]:
    """Returns the mean regret of each score over several choices; one that some checkpoint lacks is left out.

    Args:
        choices: of each the checkpoints to choose from, in order.
    """
    checkpoints = [one for choice in choices for one in choice]
    possible = {name for name in SCORES if all(name in one.scores for one in checkpoints)} | {"last", "chance"}
    return {name: mean(map(regret, choices)) for name, regret in REGRETS.items() if name in possible}


def runs_of(checkpoints: Sequence[Checkpoint]) -> list[list[Checkpoint]]:
    """Returns the checkpoints of each run in the order of the steps."""
    ordered = sorted(checkpoints, key=lambda one: (one.steps, one.pair, one.method, one.seed, one.step))
    return [list(run) for _, run in groupby(ordered, key=lambda one: (one.steps, one.pair, one.method, one.seed))]


def within_runs(pair: str, checkpoints: Sequence[Checkpoint]) -> Table:
    """Makes the table of a pair: the regret, in points of mIoU, of choosing among the checkpoints of one run."""
    runs = [run for run in runs_of(checkpoints) if run[0].pair == pair]
    title = f"{pair}: regret of the checkpoint chosen within a run, in points of target mIoU"
    shown = Table("method", "seeds", "best", *REGRETS, title=title, box=MARKDOWN)
    rows = {method: [run for run in runs if run[0].method == method] for method in METHODS}
    for name, own in {**rows, "all": runs}.items():
        if own:
            shown.add_row(name, f"{len(own)}", f"{100 * mean(map(_best, own)):.1f}", *_cells(regrets(own), REGRETS))
    return shown


def between_methods(checkpoints: Sequence[Checkpoint]) -> Table:
    """Makes the table of the regret of choosing one method of all that were run, by their last checkpoints."""
    columns = [name for name in REGRETS if name != "last"]
    title = "regret of the method chosen by the last checkpoints, in points of target mIoU"
    shown = Table("pair", "seeds", "methods", "best", *columns, title=title, box=MARKDOWN)
    lasts = sorted((run[-1] for run in runs_of(checkpoints)), key=lambda one: (one.pair, one.seed))
    for pair, of_pair in groupby(lasts, key=lambda one: one.pair):
        choices = [list(choice) for _, choice in groupby(of_pair, key=lambda one: one.seed)]
        most = max(map(len, choices))
        whole = [choice for choice in choices if len(choice) == most]  # a seed may be under way
        best = f"{100 * mean(map(_best, whole)):.1f}"
        shown.add_row(pair, f"{len(whole)}", f"{most}", best, *_cells(regrets(whole), columns))
    return shown


def main(args: Sequence[str] | None = None) -> None:
    """Takes the curves of the runs that are there into the file, and shows the tables.

    Args:
        args: ``--steps``, ``--pairs``, ``--folder``, ``--results``; the process's arguments if None.
    """
    parser = argparse.ArgumentParser("python -m benchmarks.selection", description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="training steps of the runs; default: 300")
    parser.add_argument("--pairs", default=",".join(PAIRS), help=f"with commas: {','.join(PAIRS)}")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/accuracy"), help="runs of make accuracy; default: runs/accuracy"
    )
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help=f"CSV file of the curves, kept; default: {RESULTS.name}"
    )
    options = parser.parse_args(args)
    pairs = chosen_pairs(parser, options.pairs, show=True)
    kept = {(run[0].pair, run[0].method, run[0].seed): run for run in runs_of(read(options.results, options.steps))}
    for pair in pairs:
        for method in UNLABELLED:
            for place in run_folder(options.folder, pair, method, 0, options.steps).parent.glob("seed*"):
                seed = int(place.name.removeprefix("seed"))
                run = read_curves(pair, method, seed, options.steps, options.folder)
                if len(run) > 1:  # of one there is no choice
                    kept[pair, method, seed] = run
    found = [one for run in kept.values() for one in run]
    if not found:
        parser.error(f"there are no curves in {options.results}, and no validated run in {options.folder}.")
    _write(options.results, [*found, *(one for one in read(options.results) if one.steps != options.steps)])
    shown = [one for one in found if one.pair in pairs]
    console = Console(width=180)
    for pair in pairs:
        if any(one.pair == pair for one in shown):
            console.print(within_runs(pair, shown))
    console.print(between_methods(shown))


def _write(path: Path, found: Sequence[Checkpoint]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        rows = [one.row() for run in runs_of(found) for one in run]
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _best(choices: Sequence[Checkpoint]) -> float:
    return max(one.target_miou for one in choices)


def _cells(found: Mapping[str, float], columns: Iterable[str]) -> list[str]:
    return [f"{100 * found[name]:.1f}" if name in found else "–" for name in columns]


if __name__ == "__main__":
    main()

"""``make selection``: which score chooses a good checkpoint without target labels; goes on where it was stopped."""

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

from benchmarks.accuracy import append, chosen_pairs, fit_command, run_folder, train
from benchmarks.accuracy_methods import CONTINUED, METHODS, PAIRS
from lightning_app.compare.reading import read_run
from lightning_app.selection import SOURCE_MIOU, TARGET_MIOU, UNSUPERVISED, Mode, choose

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "selection_curves.csv"
CHOSEN = (
    CONTINUED,
    "AdversarialAlignment, output",
    "EntropyMinimization",
    "MomentAlignment, coral",
    "FourierStyle",
    "SelfTraining",
    "MeanTeacher",
    "ClassMix",
    "MaskedConsistency(ClassMix)",
)
"""A method of every family that uses no target label."""
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
        every: steps between validations.
        step: steps done so far.
        target_miou: mIoU on the target in [0, 1], by its labels, which nothing is chosen by.
        scores: what can choose, by name; a score that the method does not have is left out.
    """

    pair: str
    method: str
    seed: int
    steps: int
    every: int
    step: int
    target_miou: float
    scores: dict[str, float]

    def row(self) -> dict[str, object]:
        """Returns the row of the file."""
        own = {name: value for name, value in vars(self).items() if name != "scores"}
        own["target_miou"] = round(self.target_miou, 6)
        return own | {name: round(self.scores[name], 6) if name in self.scores else "" for name in SCORES}


def read(path: Path, steps: int, every: int) -> list[Checkpoint]:
    """Reads the curves of runs of so many steps, validated so often; none if there is no file yet."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        found = [
            Checkpoint(
                row["pair"],
                row["method"],
                int(row["seed"]),
                int(row["steps"]),
                int(row["every"]),
                int(row["step"]),
                float(row["target_miou"]),
                {name: float(row[name]) for name in SCORES if row[name]},
            )
            for row in csv.DictReader(file)
        ]
    return [one for one in found if (one.steps, one.every) == (steps, every)]


def measure(pair: str, method: str, seed: int, steps: int, every: int, folder: Path, sources: Path) -> list[Checkpoint]:
    """Trains with validations, or goes on where an earlier attempt was stopped.

    Args:
        pair: one of the pairs.
        method: one of the methods.
        seed: seed of everything.
        steps: training steps.
        every: steps between validations.
        folder: folder of all runs.
        sources: folder of the runs of ``make accuracy``, with the source's networks that methods start from.
    """
    here = run_folder(folder / f"every_{every}", pair, method, seed, steps)
    command = [
        *fit_command(pair, method, seed, steps, sources),
        *("--run", f"{here}"),
        *("--trainer.val_check_interval", f"{every}", "--trainer.check_val_every_n_epoch", "null"),
        *("--trainer.log_every_n_steps", f"{every}"),
        *("--checkpoint.monitor", "null", "--model.augmentation_consistency", "true"),
    ]
    train(command, here)
    logged = {"source_miou": SOURCE_MIOU, **{name: f"val/target/unsupervised/{name}" for name in UNSUPERVISED}}
    curves = {
        name: dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))
        for name, curve in read_run(here).curves.items()
    }
    return [
        Checkpoint(
            *(pair, method, seed, steps, every, step, miou),
            {score: curves[name][step] for score, name in logged.items() if step in curves.get(name, {})},
        )
        for step, miou in curves[TARGET_MIOU].items()
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
    ordered = sorted(checkpoints, key=lambda one: (one.pair, one.method, one.seed, one.step))
    return [list(run) for _, run in groupby(ordered, key=lambda one: (one.pair, one.method, one.seed))]


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
    """Trains what is missing, and shows the tables.

    Args:
        args: ``--steps``, ``--every``, ``--seeds``, ``--pairs``, ``--methods``, ``--folder``, ``--sources``,
            ``--results``, ``--show``; the process's arguments if None.
    """
    parser = argparse.ArgumentParser("python -m benchmarks.selection", description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="training steps of each run; default: 300")
    parser.add_argument("--every", type=int, default=30, help="steps between validations; default: 30")
    parser.add_argument("--seeds", type=int, default=3, help="default: 3")
    parser.add_argument("--pairs", default=",".join(PAIRS), help=f"with commas: {','.join(PAIRS)}")
    parser.add_argument("--methods", nargs="+", default=CHOSEN, help="rows of make accuracy, each in quotes")
    parser.add_argument("--folder", type=Path, default=Path("runs/selection"), help="default: runs/selection")
    parser.add_argument(
        "--sources", type=Path, default=Path("runs/accuracy"), help="runs of make accuracy; default: runs/accuracy"
    )
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help=f"CSV file of the curves, not redone; default: {RESULTS.name}"
    )
    parser.add_argument("--show", action="store_true", help="show the tables of what is there, and train nothing")
    options = parser.parse_args(args)
    pairs = chosen_pairs(parser, options.pairs, options.show)
    for method in options.methods:
        if method not in METHODS:
            parser.error(f"there is no method '{method}'; the methods are {'; '.join(METHODS)}.")
    found = read(options.results, options.steps, options.every)
    done = {(one.pair, one.method, one.seed) for one in found}
    runs = [(pair, method, seed) for seed in range(options.seeds) for pair in pairs for method in options.methods]
    for pair, method, seed in [] if options.show else runs:
        if (pair, method, seed) not in done:
            run = measure(pair, method, seed, options.steps, options.every, options.folder, options.sources)
            append(options.results, [one.row() for one in run])
    found = [one for one in read(options.results, options.steps, options.every) if one.pair in pairs]
    console = Console(width=180)
    for pair in pairs:
        if any(one.pair == pair for one in found):
            console.print(within_runs(pair, found))
    console.print(between_methods(found))


def _best(choices: Sequence[Checkpoint]) -> float:
    return max(one.target_miou for one in choices)


def _cells(found: Mapping[str, float], columns: Iterable[str]) -> list[str]:
    return [f"{100 * found[name]:.1f}" if name in found else "–" for name in columns]


if __name__ == "__main__":
    main()

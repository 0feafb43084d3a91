"""``make accuracy``: what each method reaches on real pairs of domains; can be stopped, and goes on where it was."""

import argparse
import csv
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from string import Template

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy_methods import ALONE, FEW, LOWER, METHODS, PAIRS, UPPER
from lightning_app.command_line import run
from lightning_app.compare.statistics import gap_closed
from lightning_app.weight_files import read_checkpoint

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "accuracy.csv"
BEST = 4
"""So many methods between the bounds get all seeds."""
VALIDATIONS = 6
"""Of a run whose steps can be divided by it."""


@dataclass(frozen=True)
class Row:
    """What one run came to: its last checkpoint, mIoU in [0, 1].

    The target's validation images have no part in the training: by them the methods are chosen that get all seeds.
    """

    pair: str
    method: str
    seed: int
    steps: int
    target_labels: int
    target_val_miou: float
    source_test_miou: float
    target_test_miou: float
    command: str


def read_rows(path: Path, steps: int) -> list[Row]:
    """Reads the rows of runs of so many steps; none if there is no file yet."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = [
            Row(
                row["pair"],
                row["method"],
                int(row["seed"]),
                int(row["steps"]),
                int(row["target_labels"]),
                float(row["target_val_miou"]),
                float(row["source_test_miou"]),
                float(row["target_test_miou"]),
                row["command"],
            )
            for row in csv.DictReader(file)
        ]
    return [row for row in rows if row.steps == steps]


def plan(pairs: Sequence[str], rows: list[Row], seeds: int, everywhere: bool) -> Iterator[tuple[str, str, int]]:
    """Yields the runs in their order: seed 0 of every method, then the other seeds of the rows that are compared.

    Args:
        pairs: the pairs.
        rows: the rows so far; the list may grow while this is read.
        seeds: seeds of the bounds, and of the best methods between them by the target's validation images.
        everywhere: whether every method gets all seeds.
    """
    for pair in pairs:
        yield from ((pair, method, 0) for method in METHODS)
    for seed in range(1, seeds):
        for pair in pairs:
            scores = {row.method: row.target_val_miou for row in rows if row.pair == pair and row.seed == 0}
            # Those with labels are no rivals of those without.
            unlabelled = [name for name in scores if "--data.labels" not in METHODS[name].options]
            between = sorted(set(unlabelled) - set(ALONE), key=lambda name: -scores[name])
            chosen = METHODS if everywhere else [*ALONE, UPPER, *FEW, *between[:BEST]]
            yield from ((pair, method, seed) for method in METHODS if method in chosen)


def run_folder(folder: Path, pair: str, method: str, seed: int, steps: int) -> Path:
    """Returns the folder of one run below that of all."""
    return folder / f"{steps}_steps" / pair / re.sub(r"\W+", "_", method).strip("_") / f"seed{seed}"


def measure(pair: str, method: str, seed: int, steps: int, folder: Path, full: bool = False) -> Row:
    """Trains and tests, or goes on where an earlier attempt was stopped.

    Args:
        pair: one of the pairs.
        method: one of the methods.
        seed: seed of everything.
        steps: training steps.
        folder: folder of all runs.
        full: whether to take the pair's larger crops.
    """
    about, how = PAIRS[pair], METHODS[method]
    here = run_folder(folder, pair, method, seed, steps)
    options = [Template(word).substitute(eighth=steps // 8, quarter=steps // 4, **about.told) for word in how.options]
    if how.from_source:
        source = run_folder(folder, pair, LOWER, seed, steps) / "checkpoints" / "last.ckpt"
        if not source.is_file():  # The rows are kept, but the runs are not.
            measure(pair, LOWER, seed, steps, folder, full)
        options += ["--model.init_from", f"{source}"]
    fit = [
        "fit",
        "--config",
        about.config,
        *(about.full if full else about.small),
        *("--trainer.max_steps", f"{steps}", "--seed_everything", f"{seed}"),
        *options,
        *("--run", f"{here}"),
        *("--trainer.val_check_interval", f"{validated_every(steps)}", "--trainer.check_val_every_n_epoch", "null"),
        # A checkpoint is not chosen: this and the validations are what `make selection` reads.
        *("--model.augmentation_consistency", "true", "--checkpoint.monitor", "null"),
    ]
    last = here / "checkpoints" / "last.ckpt"
    if not last.is_file():
        shutil.rmtree(here, ignore_errors=True)
    run([*fit, *(["--ckpt_path", f"{last}"] if last.is_file() else [])])
    run(["test", "--config", about.config, "--ckpt_path", f"{last}", "--trainer.enable_progress_bar", "false"])
    miou: dict[tuple[str, str], float] = {}
    for stage in ("fit", "test"):
        with (here / f"{stage}.csv").open(newline="") as file:
            found = [row for row in csv.DictReader(file) if row["score"] == "mIoU"]
        miou |= {(stage, row["domain"]): float(row["value"]) for row in found}
    return Row(
        pair,
        method,
        seed,
        steps,
        read_checkpoint(last).meta["labels_used"],
        round(miou["fit", "target"], 4),
        round(miou["test", "source"], 4),
        round(miou["test", "target"], 4),
        " ".join(["lightning", *(f"'{word}'" if " " in word else word for word in fit)]),
    )


def validated_every(steps: int) -> int:
    """Returns after how many steps a run of so many is validated: the last time behind the last step."""
    return steps // VALIDATIONS if steps % VALIDATIONS == 0 else steps


def table(pair: str, rows: Sequence[Row], steps: int) -> Table:
    """Makes the table of a pair: means, spreads (sample standard deviation) and the share of the gap that is closed.

    Differences are taken over the seeds that the rows have in common.
    """
    of = {name: [row for row in rows if row.pair == pair and row.method == name] for name in METHODS}
    shown = Table(
        *("method", "target labels", "seeds", "source test", "target test", "gap closed", "over the best SourceOnly"),
        title=f"{pair}: mIoU in percent, {steps} steps, last checkpoints",
        box=MARKDOWN,
    )
    bounds = [[row.target_test_miou for row in of[name]] for name in (LOWER, UPPER)]
    for name, own in of.items():
        if own:
            beside = [_means_of_common_seeds(own, of[other]) for other in ALONE if other in of]
            points = [100 * (ours - theirs) for ours, theirs in filter(None, beside)]
            closed = gap_closed([row.target_test_miou for row in own], *bounds)
            if closed != "no gap":  # which all seeds of the bounds tell; their means have no spread
                means = _means_of_common_seeds(own, of[LOWER], of[UPPER])
                closed = gap_closed(*([one] for one in means)) if means else "–"
            shown.add_row(
                name,
                f"{own[0].target_labels}",
                f"{len(own)}",
                _spread([row.source_test_miou for row in own]),
                _spread([row.target_test_miou for row in own]),
                closed,
                f"{min(points):+z.1f}" if points else "–",
            )
    return shown


def chosen_pairs(parser: argparse.ArgumentParser, given: str, show: bool) -> list[str]:
    """Returns the pairs that were asked for, or leaves with a message.

    Args:
        parser: whose message it is.
        given: names with commas between them.
        show: whether no data is needed.
    """
    pairs = given.split(",")
    for pair in pairs:
        if pair not in PAIRS:
            parser.error(f"there is no pair '{pair}'; the pairs are {', '.join(PAIRS)}.")
        folder = PAIRS[pair].folder
        if not show and folder is not None and not Path(folder).is_dir():
            parser.error(f"there is no folder {folder}; {PAIRS[pair].config} says what is expected in it.")
    return pairs


def append(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Writes rows behind those of a CSV file, which is made if it is not there.

    Args:
        path: the file.
        rows: one at least, by column.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if new:
            writer.writeheader()
        writer.writerows(rows)


def main(args: Sequence[str] | None = None) -> None:
    """Measures what is missing, and shows the tables.

    Args:
        args: ``--steps``, ``--seeds``, ``--everywhere``, ``--pairs``, ``--folder``, ``--results``, ``--show``; the
            process's arguments if None.
    """
    parser = argparse.ArgumentParser("python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="training steps of each run; default: 300")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the bounds and of the best four; default: 3")
    parser.add_argument(
        "--everywhere", action="store_true", help="all seeds for every method, on larger crops: where a GPU is at hand"
    )
    parser.add_argument("--pairs", default=",".join(PAIRS), help=f"with commas: {','.join(PAIRS)}")
    parser.add_argument("--folder", type=Path, help="where the runs lie; default: runs/<name of the results>")
    parser.add_argument(
        "--results", type=Path, help=f"CSV file of the rows, which are not redone; default: {RESULTS.name}"
    )
    parser.add_argument("--show", action="store_true", help="show the tables of what is there, and measure nothing")
    options = parser.parse_args(args)
    # Rows of other crops are other rows.
    results = options.results or (RESULTS.with_stem("accuracy_full") if options.everywhere else RESULTS)
    folder = options.folder or Path("runs") / results.stem
    pairs = chosen_pairs(parser, options.pairs, options.show)
    rows = read_rows(results, options.steps)
    done = {(row.pair, row.method, row.seed) for row in rows}
    if not options.show:
        for pair, method, seed in plan(pairs, rows, options.seeds, options.everywhere):
            if (pair, method, seed) in done:
                continue
            row = measure(pair, method, seed, options.steps, folder, options.everywhere)
            rows.append(row)
            append(results, [asdict(row)])
    for pair in pairs:
        if any(row.pair == pair for row in rows):
            Console(width=150).print(table(pair, rows, options.steps))


def _means_of_common_seeds(*rows: Sequence[Row]) -> list[float]:
    # A run starts from the network that SourceOnly made with its seed: one seed's luck is in all of its rows.
    common = set.intersection(*({row.seed for row in some} for some in rows))
    return [mean(row.target_test_miou for row in some if row.seed in common) for some in rows] if common else []


def _spread(values: Sequence[float]) -> str:
    percent = [100 * value for value in values]
    return f"{mean(percent):.1f}" + (f" ± {stdev(percent):.1f}" if len(percent) > 1 else "")


if __name__ == "__main__":
    main()

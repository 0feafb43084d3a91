"""``lightning compare``: several runs on one page, with what their differences are worth."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning_app.compare.run import Run

WANDB = "wandb:"


def main(args: Sequence[str]) -> None:
    """Compares runs: a table in the terminal, a page, and the table as Markdown and CSV.

    Args:
        args: the runs, and ``--output``, ``--markdown``, ``--csv``, ``--baseline``.

    Raises:
        SystemExit: with 1 if there is nothing to compare, with 2 after a mistake in the arguments.
    """
    parser = argparse.ArgumentParser("lightning compare", description=__doc__)
    parser.add_argument(
        "runs", nargs="+", help="folders of runs, folders of such folders, or wandb:entity/project for those of W&B"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs/compare.html"), help="the page, one HTML file; default: %(default)s"
    )
    parser.add_argument("--markdown", type=Path, help="the tables as Markdown; default: beside the page")
    parser.add_argument("--csv", type=Path, help="the scores as CSV, a row a method; default: beside the page")
    parser.add_argument(
        "--baseline",
        help="a run of the method that the others are compared with; default: the best source-only one",
    )
    options = parser.parse_args(args)
    # Reads tables and draws: not before the arguments are right.
    from rich.console import Console

    from lightning_app.compare.comparison import Comparison
    from lightning_app.compare.page import write_page
    from lightning_app.compare.tables import markdown, print_tables, write_csv

    output = options.output
    paths = (output, options.markdown or output.with_suffix(".md"), options.csv or output.with_suffix(".csv"))
    try:
        comparison = Comparison(_read(options.runs), options.baseline)
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_page(comparison, f"lightning compare {shlex.join(args)}", paths[0])
        paths[1].write_text(markdown(comparison), encoding="utf-8", errors="backslashreplace")
        write_csv(comparison, paths[2])
    except (ValueError, OSError) as error:
        print(f"lightning: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    console = Console(highlight=False)
    print_tables(comparison, console)
    for what, path in zip(("Page", "Markdown", "CSV"), paths, strict=True):
        console.print(f"{what}: {path}", soft_wrap=True, markup=False)


def _read(places: Sequence[str]) -> list["Run"]:
    from lightning_app.compare.reading import read_runs
    from lightning_app.compare.wandb_project import read_project

    runs = read_runs([Path(place) for place in places if not place.startswith(WANDB)])
    for place in places:
        if place.startswith(WANDB):
            runs += read_project(place.removeprefix(WANDB))
    return runs

"""A gap in the terminal."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_app.gap.measure import Measure
from lightning_app.gap.result import GapResult
from lightning_app.gap.survey import class_note
from lightning_app.gap.wording import chance, number, section, times, title
from lightning_app.writing import as_text

_MOST_CLASSES = 40


def print_gap(
    result: GapResult, before: GapResult | None, advised: str, written: Sequence[Path], console: Console
) -> None:
    """Prints the distances, those of the classes, what was left out, and the advice.

    Args:
        result: what was measured.
        before: the same through the network of before an adaptation.
        advised: the advice.
        written: the files of the report.
        console: where to print.
    """
    source, target = result.images
    console.print(
        as_text(
            f"{source:,} source and {target:,} target images, seen by {result.network}; {result.compared:,} are "
            "compared with as many."
        )
    )
    console.print(_measures(result, before))
    if result.classes:
        console.print(_classes(result, before))
        console.print(as_text(class_note(), "dim"))
    for sentence in result.missing:
        console.print(as_text(sentence))
    console.print(Text(f"\n{advised}", style="bold"))
    for path in written:
        console.print(as_text(f"Report: {path}"), soft_wrap=True)


def _measures(result: GapResult, before: GapResult | None) -> Table:
    table = Table("distance", title="Gap between source and target", title_justify="left")
    for heading in ("gap", "floor", "gap / floor", "p"):
        table.add_column(heading, justify="right")
    _add_before(table, before)
    place = ""
    for measure in result.measures:
        if section(measure) != place:
            place = section(measure)
            table.add_section()
            table.add_row(Text(place, style="dim"))
        row = [title(measure), number(measure.gap), number(measure.floor), times(measure), chance(measure)]
        earlier = None if before is None else before.find(measure.name, measure.place)
        table.add_row(*row, *(_earlier(earlier) if before is not None else ()), style="bold" if measure.is_high else "")
    return table


def _classes(result: GapResult, before: GapResult | None) -> Table:
    table = Table("class", title=f"MMD² by class ({result.class_place})", title_justify="left")
    for heading in ("source pixels", "target pixels", "gap", "floor", "gap / floor"):
        table.add_column(heading, justify="right")
    _add_before(table, before)
    earlier = {} if before is None else {one.name: one.measure for one in before.classes}
    for one in result.classes[:_MOST_CLASSES]:
        found = one.measure
        numbers = ("–", "–", "–") if found is None else (number(found.gap), number(found.floor), times(found))
        style = "bold" if found is not None and found.is_high else ""
        pixels = [f"{count:,}" for count in one.pixels]
        table.add_row(
            as_text(one.name),
            *pixels,
            *numbers,
            *(_earlier(earlier.get(one.name)) if before is not None else ()),
            style=style,
        )
    if len(result.classes) > _MOST_CLASSES:
        table.add_row(f"{len(result.classes) - _MOST_CLASSES} more in the report")
    return table


def _add_before(table: Table, before: GapResult | None) -> None:
    if before is not None:
        table.add_column("before", justify="right")
        table.add_column("/ floor", justify="right")


def _earlier(measure: Measure | None) -> tuple[str, str]:
    return ("–", "–") if measure is None else (number(measure.gap), times(measure))

"""The comparison as Markdown, as CSV and in the terminal."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lightning_app.compare.comparison import Comparison
from lightning_app.compare.method import Method
from lightning_app.compare.run import STAGES
from lightning_app.compare.statistics import Interval, deviation

COLUMNS = (
    "method",
    "seeds",
    "source mIoU",
    "target mIoU",
    "gap closed",
    "target over baseline",
    "verdict",
    "time",
    "memory",
    "parameters",
)

_WIDE = 150
"""Columns of a terminal in which the whole table can be read."""


def cells(comparison: Comparison, method: Method) -> dict[str, str]:
    """Returns a method's row as text, one cell for each of ``COLUMNS``."""
    stage, difference = comparison.stage, comparison.over_baseline(method)
    values = (
        method.name,
        f"{len(method.runs)}",
        percent(method.scores(stage, "source")),
        percent(method.scores(stage, "target")),
        comparison.gap_closed(method),
        "–" if difference is None else points(difference.value),
        verdict(comparison, method),
        spread(method.recorded("seconds"), duration),
        spread(method.recorded("peak_memory_mib"), lambda mebibytes: f"{mebibytes / 1024:.2f} GiB"),
        spread(method.recorded("parameters"), lambda count: f"{count / 1e6:.1f} M"),
    )
    return dict(zip(COLUMNS, values, strict=True))


def heading(labels: int | None) -> str:
    """Returns the title of the methods with so many target labels."""
    match labels:
        case None:
            return "Target labels unknown"
        case 0:
            return "No target labels"
        case 1:
            return "1 target label"
    return f"{labels:,} target labels"


def percent(values: Sequence[float]) -> str:
    """Writes the mean and the sample standard deviation of shares, in percent."""
    shares = [100 * value for value in values]
    if not shares:
        return "–"
    return f"{mean(shares):.1f}" + (f" ± {stdev(shares):.1f}" if len(shares) > 1 else "")


def points(value: float) -> str:
    """Writes a difference of two shares, in percentage points."""
    rounded = round(100 * value, 1)
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"


def interval(interval: Interval | None) -> str:
    """Writes an interval of a difference, in percentage points."""
    return "–" if interval is None else f"{points(interval.low)} to {points(interval.high)}"


def verdict(comparison: Comparison, method: Method) -> str:
    """Says whether a method is better than the baseline, with what that leaves open."""
    if method is comparison.baseline:
        return "baseline"
    difference = comparison.over_baseline(method)
    if difference is None:
        return "–"
    return f"{difference.verdict} ({difference.doubt})" if difference.doubt else difference.verdict


def spread(values: Sequence[float], write: Callable[[float], str]) -> str:
    """Writes the mean of some numbers, and their sample standard deviation where it shows."""
    if not values:
        return "–"
    text, off = write(mean(values)), deviation(values)
    return f"{text} ± {write(off)}" if off is not None and write(off) != write(0.0) else text


def duration(seconds: float) -> str:
    """Writes a time by its largest units."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def summary(comparison: Comparison) -> list[str]:
    """Returns what the table is of, in sentences."""
    baseline = comparison.baseline
    sentences = [
        f"mIoU in percent of the {STAGES[comparison.stage]}: mean ± sample standard deviation over the seeds.",
        *([] if baseline is None else [f"The baseline is {baseline.name}."]),
    ]
    if baseline is not None and comparison.image_count:
        sentences.append(
            f"Better, worse: no 95 % interval of the difference holds 0, neither over draws of the "
            f"{comparison.image_count:,} target images nor, with two seeds or more, over seeds."
        )
    if len(comparison.groups) > 1:
        sentences.append(
            "Methods with different numbers of target labels are no rivals: each number has its own table."
        )
    return sentences


def markdown(comparison: Comparison) -> str:
    """Writes the tables as Markdown."""
    lines = ["# Comparison", "", *summary(comparison), *(f"\n**Note:** {note}" for note in comparison.notes)]
    for labels, methods in comparison.groups.items():
        lines += ["", f"## {heading(labels)}", ""]
        lines += _markdown_table(COLUMNS, [list(cells(comparison, method).values()) for method in methods])
    deltas = {method.name: comparison.class_deltas(method) for method in comparison.methods}
    if any(deltas.values()):
        lines += ["", "## Target IoU by class over the baseline's, percentage points", ""]
        rows = [
            [name, *(points(own[one]) if one in own else "–" for one in comparison.classes)]
            for name, own in deltas.items()
        ]
        lines += _markdown_table(["method", *comparison.classes], rows)
    if comparison.settings:
        names = [method.name for method in comparison.methods]
        lines += ["", "## Settings that differ", ""]
        lines += _markdown_table(
            ["setting", *names],
            [[key, *(value or "–" for value in values)] for key, values in comparison.settings.items()],
        )
    return "\n".join(lines) + "\n"


def write_csv(comparison: Comparison, path: Path) -> None:
    """Writes one row a method: shares in [0, 1], seconds, MiB; what is not known is empty."""
    classes, stage = comparison.classes, comparison.stage
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        numbers = [("source_miou", "source"), ("target_miou", "target")]
        writer.writerow(
            [
                *("target_labels", "method", "runs", "scores_of"),
                *(f"{name}{end}" for name, _ in numbers for end in ("", "_deviation")),
                *("gap_closed", "target_over_baseline"),
                *(f"over_{what}_{end}" for what in ("images", "seeds") for end in ("low", "high")),
                *("verdict", "seconds", "peak_memory_mib", "parameters", "trainable_parameters", "images_per_second"),
                *(f"target_iou/{name}" for name in classes),
                *(f"target_iou_over_baseline/{name}" for name in classes),
            ]
        )
        for methods in comparison.groups.values():
            for method in methods:
                difference, deltas = comparison.over_baseline(method), comparison.class_deltas(method)
                intervals = (None, None) if difference is None else (difference.over_images, difference.over_seeds)
                recorded = ("seconds", "peak_memory_mib", "parameters", "trainable_parameters", "images_per_second")
                writer.writerow(
                    [
                        *("" if method.labels is None else method.labels, method.name),
                        *(" ".join(run.name for run in method.runs), stage),
                        *(
                            number
                            for _, domain in numbers
                            for number in _mean_and_deviation(method.scores(stage, domain))
                        ),
                        comparison.gap_closed(method).strip("–"),  # in a table of numbers that is empty
                        "" if difference is None else difference.value,
                        *(end for one in intervals for end in (("", "") if one is None else (one.low, one.high))),
                        verdict(comparison, method).strip("–"),
                        *(_mean_and_deviation(method.recorded(name))[0] for name in recorded),
                        *(_mean_and_deviation(method.scores(stage, "target", f"IoU {name}"))[0] for name in classes),
                        *(deltas.get(name, "") for name in classes),
                    ]
                )


def print_tables(comparison: Comparison, console: Console) -> None:
    """Shows the tables in the terminal, in a narrow one without what the page has besides."""
    verdict_at = COLUMNS.index("verdict")
    wide = console.width >= _WIDE
    columns = COLUMNS if wide else COLUMNS[: verdict_at + 1]
    for labels, methods in comparison.groups.items():
        table = Table(*columns, title=heading(labels), title_justify="left", box=SIMPLE_HEAD)
        for column in table.columns:
            column.overflow, column.justify = "fold", "right"
        table.columns[0].justify = table.columns[verdict_at].justify = "left"
        for method in methods:
            row = cells(comparison, method)
            row["verdict"] = row["verdict"] if wide else row["verdict"].partition(" (")[0]
            table.add_row(*(escape(row[column]) for column in columns))
        console.print(table)
    console.print(escape(" ".join(summary(comparison))))
    for note in comparison.notes:
        console.print(f"[bold]Note:[/bold] {escape(note)}")


def _mean_and_deviation(values: Sequence[float]) -> tuple[float | str, float | str]:
    off = deviation(values)
    return mean(values) if values else "", "" if off is None else off


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(texts: Sequence[str]) -> str:
        return (
            "| " + " | ".join(" ".join(text.replace("|", "\\|").replace("<", "&lt;").split()) for text in texts) + " |"
        )

    return [line(columns), "|" + "---|" * len(columns), *(line(row) for row in rows)]

"""The report of a check in the terminal."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_app.check.finding import Finding, Severity
from lightning_app.check.result import CheckResult
from lightning_app.check.wording import estimate_rows, percent, ratio
from lightning_app.writing import as_text

MOST_ITEMS = 20
"""So many files of a finding are listed; the HTML has them all."""
_MOST_CLASSES = 40
_STYLES: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "note": "dim"}


def print_report(result: CheckResult, report: Path, console: Console) -> None:
    """Prints counts, class shares, the estimate and the findings, the gravest last, where the eye is.

    Args:
        result: what was found.
        report: where the HTML is.
        console: where to print.
    """
    console.print(_counts(result))
    if any(summary.masks_read for summary in result.survey.places.values()):
        console.print(_shares(result))
    if result.estimate is not None:
        table = Table("estimate", "", show_header=False, title="Estimate", title_justify="left")
        for row in estimate_rows(result.estimate):
            table.add_row(*row)
        console.print(table)
    elif result.no_estimate:
        console.print(Text(f"No estimate of time and memory: {result.no_estimate}"))
    for sentence in result.reach:
        console.print(Text(sentence))
    for severity in ("note", "warning", "error"):
        for finding in result.of_severity(severity):
            _print_finding(finding, report, console)
    console.print(Text(f"\n{result.verdict}", style="bold red" if result.has_errors else "bold"))
    console.print(as_text(f"Report: {report}"), soft_wrap=True)


def _counts(result: CheckResult) -> Table:
    table = Table("", "images", "read", "masks read", "sizes (width × height)", title="Files", title_justify="left")
    table.columns[0].overflow = "fold"
    for column in table.columns[1:4]:
        column.justify = "right"
    for place, summary in result.survey.places.items():
        sizes = [f"{width} × {height}" for (height, width), _ in summary.sizes.most_common(3)]
        more = f" and {len(summary.sizes) - 3} more" if len(summary.sizes) > 3 else ""
        table.add_row(
            as_text(f"{place}"),
            f"{summary.total:,}",
            f"{summary.read:,}",
            f"{summary.masks_read:,}",
            ", ".join(sizes) + more,
        )
    return table


def _shares(result: CheckResult) -> Table:
    survey, classes = result.survey, result.data.classes
    shift = survey.shift(len(classes))
    title = "Pixels of each class" + ("" if shift is None else f" (label shift {percent(shift)})")
    domains = survey.domains()
    table = Table("class", title=title, title_justify="left")
    for domain in domains:
        table.add_column(as_text(domain), justify="right", overflow="fold")
    table.add_column("target : source", justify="right")
    shares = [survey.of_domain(domain).class_shares(len(classes)) for domain in domains]
    source, target = (survey.of_role(role).class_shares(len(classes)) for role in ("source", "target"))
    for class_id, name in enumerate(classes[:_MOST_CLASSES]):
        times = "" if shift is None else ratio(target[class_id], source[class_id])
        table.add_row(as_text(name), *(percent(share[class_id]) for share in shares), times)
    if len(classes) > _MOST_CLASSES:
        table.add_row(f"{len(classes) - _MOST_CLASSES} more in the report")
    return table


def _print_finding(finding: Finding, report: Path, console: Console) -> None:
    said = Text(f"\n{finding.severity}: ", style=_STYLES[finding.severity])
    said.append(as_text(finding.what, "dim" if finding.severity == "note" else "default"))
    console.print(said, soft_wrap=True)
    if finding.severity == "note":
        return
    if finding.mend:
        console.print(as_text(f"  mend: {finding.mend}"), soft_wrap=True)
    for item in finding.items[:MOST_ITEMS]:
        console.print(as_text(f"  {item}"), soft_wrap=True)
    if len(finding.items) > MOST_ITEMS:
        console.print(as_text(f"  and {len(finding.items) - MOST_ITEMS} more in {report}"), soft_wrap=True)

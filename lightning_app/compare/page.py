"""The comparison as one HTML file."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from lightning_app import __version__
from lightning_app.compare import tables
from lightning_app.compare.comparison import Comparison
from lightning_app.compare.figures import bars, curves
from lightning_app.compare.method import Method
from lightning_app.compare.panels import panels
from lightning_app.html import page_environment
from lightning_app.pictures import class_colors


def write_page(comparison: Comparison, command: str, path: Path) -> None:
    """Writes the page: one file that needs no other and no network.

    Args:
        comparison: what is compared.
        command: the command that was typed.
        path: the file.

    Raises:
        OSError: if it cannot be written.
    """
    environment = page_environment("lightning_app.compare")
    environment.filters["breakable"] = _breakable
    classes = comparison.classes
    pictures = panels(comparison.methods)
    charts: dict[str, dict[str, Any]] = {"curves": curves(comparison), "bars": bars(comparison)}
    text = environment.get_template("page.html").render(
        command=command,
        made=f"{datetime.now():%Y-%m-%d %H:%M}, Segue {__version__}",
        comparison=comparison,
        summary=tables.summary(comparison),
        pair=[comparison.runs[0].record.get(role, "") for role in ("source", "target")],
        columns=[column for column in tables.COLUMNS if column != "method"],
        groups=[(tables.heading(labels), _rows(comparison, methods)) for labels, methods in comparison.groups.items()],
        deltas=[(method.name, _deltas(comparison, method)) for method in comparison.methods],
        pairs=[
            (tables.heading(labels), [method.name for method in methods], _pairs(comparison, methods))
            for labels, methods in comparison.groups.items()
            if len(methods) > 1
        ],
        missing=[(run.name, run.missing) for run in comparison.runs if run.missing],
        charts=charts,
        figures=_script({name: _parsed(one) for name, one in charts.items()}),
        pictures=pictures,
        pictures_json=_script({**pictures, "methods": [method.name for method in comparison.methods]}),
        seeds=max(len(method.runs) for method in comparison.methods),
        legend=[
            (name, "rgb({}, {}, {})".format(*color)) for name, color in zip(classes, class_colors(classes), strict=True)
        ],
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),
    )
    # Names of files may hold bytes that are no text.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _breakable(name: str) -> Markup:
    """Returns a name that may be broken between its words, as in ``AdversarialAlignment`` or ``model.strategy``."""
    return Markup("<wbr>").join(re.split(r"(?<=[a-z])(?=[A-Z])|(?<=[._/])|(?=\()", name))


def _rows(comparison: Comparison, methods: list[Method]) -> list[dict[str, Any]]:
    rows = []
    for method in methods:
        difference = comparison.over_baseline(method)
        rows.append(
            {
                "cells": tables.cells(comparison, method),
                "runs": [run.name for run in method.runs],
                "verdict": "baseline" if method is comparison.baseline else difference.verdict if difference else "–",
                "doubt": difference.doubt if difference else "",
                "over_images": tables.interval(difference.over_images) if difference and difference.over_images else "",
                "over_seeds": tables.interval(difference.over_seeds) if difference and difference.over_seeds else "",
            }
        )
    return rows


def _deltas(comparison: Comparison, method: Method) -> list[tuple[str, float]]:
    """Returns each class's difference as text and, from −1 to 1, as a strength of colour."""
    deltas = comparison.class_deltas(method)
    return [
        (tables.points(deltas[name]), max(-1.0, min(1.0, 4 * deltas[name]))) if name in deltas else ("–", 0.0)
        for name in comparison.classes
    ]


def _pairs(comparison: Comparison, methods: list[Method]) -> list[tuple[str, list[dict[str, str]]]]:
    """Returns for each method how it differs from each other one."""
    rows = []
    for method in methods:
        row = []
        for other in methods:
            difference = None if other is method else comparison.difference(method, other)
            row.append(
                {
                    "value": tables.points(difference.value) if difference else "",
                    "verdict": difference.verdict if difference else "",
                    "interval": tables.interval(difference.over_images or difference.over_seeds) if difference else "",
                }
            )
        rows.append((method.name, row))
    return rows


def _parsed(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: _parsed(one) if isinstance(one, dict) else json.loads(one) for name, one in figures.items()}


def _script(content: object) -> Markup:
    """Returns JSON that nothing in it can end the script of."""
    return Markup(json.dumps(content, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026"))

"""A gap as one HTML file, and as JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from lightning_app import __version__
from lightning_app.gap.measure import Measure
from lightning_app.gap.nearest import RankedImage
from lightning_app.gap.result import GapResult
from lightning_app.gap.survey import class_note
from lightning_app.gap.wording import chance, number, section, times, title
from lightning_app.html import page_environment
from lightning_app.pictures import class_colors
from lightning_app.writing import write_whole

_WIDEST = 64
_MOST_LAYERS = 8


def write_json(result: GapResult, before: GapResult | None, advised: str, command: str, path: Path) -> None:
    """Writes the numbers as JSON.

    Args:
        result: what was measured.
        before: the same through the network of before an adaptation.
        advised: the advice.
        command: the command that was typed.
        path: the file.

    Raises:
        OSError: if it cannot be written.
    """
    plain = {
        "command": command,
        "segue": __version__,
        **result.plain(),
        "before": None if before is None else before.plain(),
        "advice": advised,
    }
    # What is escaped is plain text: file names may hold bytes that are none.
    write_whole(path, lambda part: part.write_text(json.dumps(plain, indent=1), encoding="ascii"))


def write_report(
    result: GapResult,
    before: GapResult | None,
    images: Mapping[str, Sequence[RankedImage]],
    advised: str,
    command: str,
    path: Path,
) -> None:
    """Writes the report: one file that needs no other, no network and no scripts.

    Args:
        result: what was measured.
        before: the same through the network of before an adaptation.
        images: the nearest and the farthest images.
        advised: the advice.
        command: the command that was typed.
        path: the file.

    Raises:
        OSError: if it cannot be written.
    """
    layers = sorted(result.layers.items(), key=lambda one: -one[1])[:_MOST_LAYERS]
    names = [one.name for one in result.classes]
    text = (
        page_environment("lightning_app.gap")
        .get_template("report.html")
        .render(
            command=command,
            made=f"{datetime.now():%Y-%m-%d %H:%M}, Segue {__version__}",
            result=result,
            before=before,
            advised=advised,
            groups=_groups(result, before),
            classes=[
                _row(one.measure, _of_class(before, one.name), one.name)
                | {"pixels": [f"{pixels:,}" for pixels in one.pixels]}
                for one in result.classes
            ],
            class_note=class_note(),
            layers=[(name, number(value)) for name, value in layers],
            histograms=_histograms(result, names),
            images=images,
        )
    )
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8", errors="backslashreplace"))


def _groups(result: GapResult, before: GapResult | None) -> dict[str, list[dict[str, Any]]]:
    """Returns the rows of each section."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for measure in result.measures:
        earlier = None if before is None else before.find(measure.name, measure.place)
        groups.setdefault(section(measure), []).append(_row(measure, earlier, title(measure)))
    return groups


def _row(measure: Measure | None, earlier: Measure | None, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "gap": "–" if measure is None else number(measure.gap),
        "floor": "–" if measure is None else number(measure.floor),
        "times": "–" if measure is None else times(measure),
        "chance": "" if measure is None else chance(measure),
        "high": measure is not None and measure.is_high,
        "width": _width(measure),
        "before": "–" if earlier is None else number(earlier.gap),
        "times_before": "–" if earlier is None else times(earlier),
        "width_before": _width(earlier),
    }


def _width(measure: Measure | None) -> float:
    """Returns the length of a bar in per cent: 0 for a ratio of 1 or less, full at 64, half at 8."""
    if measure is None:
        return 0
    ratio = math.inf if measure.ratio is None else measure.ratio
    return round(100 * min(max(math.log(ratio, _WIDEST) if ratio > 0 else 0, 0), 1), 1) if ratio < math.inf else 100


def _of_class(result: GapResult | None, name: str) -> Measure | None:
    if result is None:
        return None
    return next((one.measure for one in result.classes if one.name == name), None)


def _histograms(result: GapResult, names: Sequence[str]) -> list[dict[str, Any]]:
    if not result.histograms or not names:
        return []
    longest = max(max(shares) for shares in result.histograms.values()) or 1
    colors = class_colors(names)
    return [
        {
            "name": name,
            "color": "rgb({}, {}, {})".format(*colors[class_id]),
            "bars": [
                {
                    "domain": domain,
                    "width": round(100 * shares[class_id] / longest, 2),
                    "share": f"{100 * shares[class_id]:.1f} %",
                }
                for domain, shares in result.histograms.items()
            ],
        }
        for class_id, name in enumerate(names)
    ]

"""The report of a check as one HTML file."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_app import __version__
from lightning_app.check.result import CheckResult
from lightning_app.check.survey import Summary, Survey
from lightning_app.check.wording import estimate_rows, percent, ratio, size
from lightning_app.html import page_environment
from lightning_app.pictures import Color, class_colors

_SHOWN_SIZES = 4


def write_report(result: CheckResult, command: str, path: Path) -> None:
    """Writes the report: one file that needs no other, no network and no scripts.

    Args:
        result: what was found.
        command: the command that was typed.
        path: the file.

    Raises:
        OSError: if it cannot be written.
    """
    environment = page_environment("lightning_app.check")
    classes, survey = result.data.classes, result.survey
    colors = class_colors(classes)
    shift = survey.shift(len(classes))
    text = environment.get_template("report.html").render(
        command=command,
        made=f"{datetime.now():%Y-%m-%d %H:%M}, Segue {__version__}",
        result=result,
        files=[_file_row(f"{place}", summary) for place, summary in survey.places.items()],
        domains=[_domain_row(domain, survey.of_domain(domain)) for domain in survey.domains()],
        shares=_share_rows(survey, classes, colors),
        shift=None if shift is None else percent(shift),
        ignored={domain: percent(survey.of_domain(domain).ignored_share()) for domain in _labelled(survey)},
        splits=_split_table(survey, classes),
        difference=_difference(survey),
        longest_name=max(map(len, survey.domains()), default=0),
        estimate=[] if result.estimate is None else estimate_rows(result.estimate),
        legend=[(name, _css(color)) for name, color in zip(classes, colors, strict=True)],
    )
    # File names may hold bytes that are no text.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _file_row(name: str, summary: Summary) -> dict[str, Any]:
    sizes = _counted({f"{width} × {height}": count for (height, width), count in summary.sizes.most_common()})
    return {
        "name": name,
        "total": summary.total,
        "read": summary.read,
        "masks": summary.masks,
        "masks_read": summary.masks_read,
        "bytes": size(summary.bytes_on_disk) if summary.bytes_on_disk else "–",
        "sizes": sizes[:_SHOWN_SIZES],
        "more_sizes": sizes[_SHOWN_SIZES:],
        "channels": _counted({f"{channels}": count for channels, count in summary.channels.most_common()}),
        "encodings": _counted(dict(summary.encodings.most_common())),
    }


def _counted(counts: Mapping[str, int]) -> list[str]:
    """Writes what there is, with its count where there are several."""
    return [f"{what}: {count:,}" for what, count in counts.items()] if len(counts) > 1 else list(counts)


def _domain_row(name: str, summary: Summary) -> dict[str, Any]:
    highest = max(int(summary.brightness.max()), 1)
    return {
        "name": name,
        "known": summary.pixels > 0,
        "means": [f"{value:.3f}" for value in summary.means()],
        "deviations": [f"{value:.3f}" for value in summary.deviations()],
        "brightness": [(int(count), round(100 * int(count) / highest)) for count in summary.brightness],
    }


def _difference(survey: Survey) -> str:
    source, target = survey.of_role("source"), survey.of_role("target")
    if not source.pixels or not target.pixels:
        return ""
    brightness = float(target.means().mean() - source.means().mean())
    contrast = float(target.deviations().mean() / max(source.deviations().mean(), 1e-9))
    direction = "brighter" if brightness > 0 else "darker"
    return (
        f"The target is {direction} by {abs(brightness):.2f} on the scale of 0 (black) to 1 (white), and its contrast "
        f"(standard deviation) is {contrast:.2f} times the source's."
    )


def _labelled(survey: Survey) -> list[str]:
    return [domain for domain in survey.domains() if survey.of_domain(domain).class_pixels.any()]


def _share_rows(survey: Survey, classes: Sequence[str], colors: Sequence[Color]) -> list[dict[str, Any]]:
    domains = _labelled(survey)
    summaries = [survey.of_domain(domain) for domain in domains]
    shares: list[NDArray[np.float64]] = [summary.class_shares(len(classes)) for summary in summaries]
    longest = max((float(share.max()) for share in shares), default=0) or 1
    source, target = (survey.of_role(role).class_shares(len(classes)) for role in ("source", "target"))
    both = survey.shift(len(classes)) is not None
    return [
        {
            "name": name,
            "color": _css(colors[class_id]),
            "ratio": ratio(float(target[class_id]), float(source[class_id])) if both else "",
            "bars": [
                {
                    "domain": domain,
                    "width": round(100 * float(share[class_id]) / longest, 2),
                    "share": percent(float(share[class_id])),
                    "images": f"in {int(summary.class_images[class_id]):,} of {summary.masks_read:,} masks",
                }
                for domain, summary, share in zip(domains, summaries, shares, strict=True)
            ],
        }
        for class_id, name in enumerate(classes)
    ]


def _split_table(survey: Survey, classes: Sequence[str]) -> dict[str, list[str]]:
    """Returns the class shares of each split whose masks were read, the class names first."""
    table = {"class": list(classes)}
    for place, summary in survey.places.items():
        if summary.class_pixels.any():
            table[f"{place}"] = [percent(float(share)) for share in summary.class_shares(len(classes))]
    return table


def _css(color: Color) -> str:
    return "rgb({}, {}, {})".format(*color)

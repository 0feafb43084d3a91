"""The charts of the page, drawn by Plotly: each a figure in JSON that the page shows when it is chosen."""

import html
from statistics import mean

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from lightning_app.compare.comparison import Comparison
from lightning_app.compare.method import Method
from lightning_app.compare.run import Curve
from lightning_app.compare.statistics import deviation
from lightning_app.selection import SOURCE_MIOU, TARGET_MIOU

COLORS = ("#2f7fd1", "#d9622b", "#2b9a66", "#b05bc9", "#a98307", "#d6457f", "#1f93a6", "#8a7560", "#7a6fe0", "#6c8a1f")
"""At least 3 : 1 against the page, light and dark."""
_DASHES = ("solid", "dash", "dot", "dashdot")
_POINTS = 300
"""So many points a line at most: more do not show, and fill the page."""


def curves(comparison: Comparison) -> dict[str, dict[str, str]]:
    """Draws what was logged over training.

    Returns:
        By logged name, and by ``methods`` (mean and band of one standard deviation) or ``runs`` (a line each).
    """
    logged = sorted({name for run in comparison.runs for name in run.curves if _is_shown(name)}, key=_order)
    return {
        name: {"methods": _curve_of_methods(comparison, name), "runs": _curve_of_runs(comparison, name)}
        for name in logged
    }


def bars(comparison: Comparison) -> dict[str, str]:
    """Draws the IoU of each class, in both domains and, for the target, over the baseline."""
    baseline, drawn = comparison.baseline, {}
    for title, domain, over in (
        ("target, over the baseline", "target", True),
        ("target", "target", False),
        ("source", "source", False),
    ):
        if over and baseline is None:
            continue
        figure = go.Figure()
        for index, method in enumerate(comparison.methods):
            if over and method is baseline:
                continue
            names, values, errors = [], [], []
            for name in comparison.classes:
                own = method.scores(comparison.stage, domain, f"IoU {name}")
                base = (
                    [0.0] if not over or baseline is None else baseline.scores(comparison.stage, domain, f"IoU {name}")
                )
                if own and base:
                    names.append(_text(name))
                    values.append(round(100 * (mean(own) - mean(base)), 2))
                    errors.append(round(100 * (deviation(own) or 0), 2))
            if names:
                figure.add_bar(
                    x=values,
                    y=names,
                    orientation="h",
                    name=_text(method.name),
                    marker_color=_color(index),
                    error_x={"array": errors, "thickness": 1.2, "width": 2, "color": "#7f8890"}
                    if any(errors)
                    else None,
                    hovertemplate="%{y}: %{x:.1f}<extra>%{fullData.name}</extra>",
                )
        if figure.data:
            bars_of_class = len(figure.data)
            figure.update_layout(
                height=140 + 20 * bars_of_class + len(comparison.classes) * (11 * bars_of_class + 12),
                barmode="group",
                bargap=0.25,
                xaxis_title="percentage points of IoU" if over else "IoU in percent",
                yaxis={
                    "type": "category",
                    "autorange": "reversed",
                    "categoryarray": list(map(_text, comparison.classes)),
                },
            )
            drawn[title] = _json(figure)
    return drawn


def _curve_of_runs(comparison: Comparison, name: str) -> str:
    figure = go.Figure()
    for index, method in enumerate(comparison.methods):
        for number, run in enumerate(run for run in method.runs if name in run.curves):
            curve = _thinned(run.curves[name])
            figure.add_scatter(
                x=curve.steps,
                y=curve.values * _scale(name),
                mode=_mode(curve),
                name=_text(method.name),
                legendgroup=f"{index}",
                showlegend=number == 0,
                line={"color": _color(index), "dash": _dash(index), "width": 1.5},
                hovertemplate=f"seed {run.seed}, step %{{x}}: %{{y:.4g}}<extra>%{{fullData.name}}</extra>",
            )
    return _json(_with_axes(figure, name))


def _curve_of_methods(comparison: Comparison, name: str) -> str:
    figure = go.Figure()
    for index, method in enumerate(comparison.methods):
        steps, values = _common(method, name)
        if not len(steps):
            continue
        middle = _thinned(Curve(steps, values.mean(0)))
        if len(values) > 1:
            off = _thinned(Curve(steps, values.std(0, ddof=1))).values
            edges = np.concatenate([middle.values + off, (middle.values - off)[::-1]])
            figure.add_scatter(
                x=np.concatenate([middle.steps, middle.steps[::-1]]),
                y=edges * _scale(name),
                fill="toself",
                fillcolor=_faint(index),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                legendgroup=f"{index}",
                showlegend=False,
            )
        figure.add_scatter(
            x=middle.steps,
            y=middle.values * _scale(name),
            mode=_mode(middle),
            name=_text(method.name),
            legendgroup=f"{index}",
            line={"color": _color(index), "dash": _dash(index), "width": 2},
            hovertemplate=f"mean of {len(values)}, step %{{x}}: %{{y:.4g}}<extra>%{{fullData.name}}</extra>",
        )
    return _json(_with_axes(figure, name))


def _common(method: Method, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Returns the steps that all seeds logged, and the values (seeds, steps)."""
    found = [run.curves[name] for run in method.runs if name in run.curves]
    if not found:
        return np.empty(0, dtype=np.int64), np.empty((0, 0))
    steps = sorted(set.intersection(*(set(curve.steps.tolist()) for curve in found)))
    return np.array(steps, dtype=np.int64), np.stack([curve.values[np.isin(curve.steps, steps)] for curve in found])


def _thinned(curve: Curve) -> Curve:
    """Averages neighbours until so few points are left as can be seen."""
    parts = np.array_split(np.arange(len(curve.steps)), min(_POINTS, len(curve.steps)))
    steps = np.array([curve.steps[part[-1]] for part in parts], dtype=np.int64)
    return Curve(steps, np.array([curve.values[part].mean() for part in parts]))


def _with_axes(figure: go.Figure, name: str) -> go.Figure:
    lines = len({one.legendgroup for one in figure.data})  # in the legend of a narrow page
    return figure.update_layout(
        height=380 + 14 * lines,
        xaxis_title="step",
        yaxis_title=_text(f"{name}, percent" if _scale(name) == 100 else name),
    )


def _mode(curve: Curve) -> str:
    return "lines+markers" if len(curve.steps) <= 30 else "lines"


def _is_shown(name: str) -> bool:
    return name.startswith(("train/loss/", "train/images_per_second", "train/memory_mib")) or name in _SCORES


_SCORES = (TARGET_MIOU, SOURCE_MIOU)


def _order(name: str) -> tuple[bool, bool, str]:
    return name != TARGET_MIOU, name != SOURCE_MIOU, name


def _scale(name: str) -> float:
    return 100.0 if name in _SCORES else 1.0


def _color(index: int) -> str:
    return COLORS[index % len(COLORS)]


def _faint(index: int) -> str:
    # Plotly 6.0 takes no colours of eight digits.
    red, green, blue = bytes.fromhex(_color(index).removeprefix("#"))
    return f"rgba({red}, {green}, {blue}, 0.19)"


def _dash(index: int) -> str:
    return _DASHES[index // len(COLORS) % len(_DASHES)]


def _text(name: str) -> str:
    """Escapes a name: Plotly takes tags in its texts, and would show ``&quot;`` as it is."""
    return html.escape(name, quote=False)


def _json(figure: go.Figure) -> str:
    figure.update_layout(
        template="none",
        margin={"l": 60, "r": 16, "t": 16, "b": 48},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        hovermode="closest",
        dragmode=False,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(automargin=True).update_yaxes(automargin=True)
    return str(figure.to_json())

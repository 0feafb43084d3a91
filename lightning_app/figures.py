"""Figures of an evaluation: confusion matrix, IoU by class, calibration."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lightning_app.calibration import BINS
from lightning_app.metrics import Scores
from lightning_app.pictures import class_colors

_LONGEST_NAME = 24
_GREY = "0.35"


def confusion_figure(place: str, classes: Sequence[str], scores: Scores) -> Figure:
    """Draws a confusion matrix in percent of the true class; a class without a true pixel has an empty row.

    Args:
        place: what was scored, for the title.
        classes: the class names, in the order of the ids.
        scores: of that place.
    """
    counts = np.array(scores.confusion, dtype=np.float64)
    true = counts.sum(axis=1, keepdims=True)
    percent = np.divide(100 * counts, true, out=np.full_like(counts, np.nan), where=true > 0)
    names = _short(classes)
    cell, size = (0.75, 11) if len(classes) <= 6 else (0.46, 9) if len(classes) <= 20 else (0.34, 7.5)
    matrix, label = cell * len(classes), 0.0095 * size * max(map(len, names))
    upright = len(classes) > 2
    figure = _figure(
        (max(matrix, 3.5), max(matrix, 1.8)), left=label + 0.55, bottom=(label if upright else 0.15) + 0.5, top=0.4
    )
    axes = figure.add_subplot()
    axes.set_facecolor("0.93")
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    ticks = range(len(classes))
    axes.set_xticks(ticks, names, rotation=90 if upright else 0, fontsize=size)
    axes.set_yticks(ticks, names, fontsize=size)
    axes.set_xticks(np.arange(0.5, len(classes) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(classes) - 1), minor=True)
    axes.grid(which="minor", color="white", linewidth=0.6)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    for row, column in np.argwhere(percent >= 0.5):
        value = percent[row, column]
        color = "white" if value > 55 else "0.15"
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=size, color=color)
    axes.set_xlabel("prediction", fontsize=size + 1)
    axes.set_ylabel("truth", fontsize=size + 1)
    axes.set_title(f"{place}: confusion, % of the true class", fontsize=size + 2)
    return figure


def iou_figure(classes: Sequence[str], scores: Mapping[str, Scores]) -> Figure:
    """Draws the IoU of every class in one or several places, side by side; a class without a pixel has no bar.

    Args:
        classes: the class names, in the order of the ids.
        scores: by place, such as ``source`` and ``target``.
    """
    height = 0.8 / len(scores)
    names = ["mIoU", *_short(classes)]
    figure = _figure(
        (5.2, 0.3 + (0.16 + 0.17 * len(scores)) * len(names)),
        left=0.085 * max(map(len, names)) + 0.2,
        bottom=0.5,
        top=0.4,
    )
    axes = figure.add_subplot()
    colors = np.array([(90, 90, 90), *class_colors(classes)]) / 255
    # The last place, which is the target, in full colour; what is before it paler.
    strengths = [1.0 if index == len(scores) - 1 else 0.4 for index in range(len(scores))]
    for index, ((name, one), strength) in enumerate(zip(scores.items(), strengths, strict=True)):
        values = [100 * value for value in (one.miou, *(one.iou.get(c, np.nan) for c in classes))]
        places = np.arange(len(names)) + (index - (len(scores) - 1) / 2) * height
        # Mixed with white: through a transparent bar the grid would be seen.
        faces = 1 - strength * (1 - colors)
        axes.barh(places, values, height, color=faces, edgecolor=_GREY, linewidth=0.5, label=name)
        for place, value in zip(places, values, strict=True):
            text = "–" if np.isnan(value) else f"{value:.1f}"
            at = 0 if np.isnan(value) else value
            axes.text(at + 0.8, place, text, va="center", fontsize=8, color="0.15")
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 107)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("IoU in %", fontsize=9)
    axes.grid(axis="x", color="0.88")
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="upper center", ncols=len(scores), fontsize=9, frameon=False)
    return figure


def reliability_figure(place: str, scores: Scores) -> Figure:
    """Draws accuracy over confidence, and how many pixels are how confident.

    Args:
        place: what was scored, for the title.
        scores: of that place, with its calibration.
    """
    pixels, confidence, right = np.array(scores.calibration).T
    filled = pixels > 0
    confidence, accuracy = confidence[filled] / pixels[filled], right[filled] / pixels[filled]
    middles = ((np.arange(BINS) + 0.5) / BINS)[filled]
    figure = _figure((3.8, 4.3), left=0.65, bottom=0.5, top=0.4)
    above, below = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    bars = {"width": 1 / BINS, "edgecolor": "white", "linewidth": 0.8}
    above.bar(middles, accuracy, color="#3b75af", label="accuracy", **bars)
    gap = np.abs(confidence - accuracy)
    lower = np.minimum(confidence, accuracy)
    above.bar(middles, gap, bottom=lower, color="#c8402f", alpha=0.35, label="distance to confidence", **bars)
    above.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1)
    above.set_ylabel("accuracy")
    above.set_ylim(0, 1)
    above.legend(loc="upper left", fontsize=9, frameon=False)
    above.set_title(f"{place}: ECE {100 * (scores.ece or 0):.1f} %")
    below.bar(middles, 100 * pixels[filled] / pixels.sum(), color="0.6", **bars)
    below.set_ylabel("% of pixels")
    below.set_xlabel("confidence")
    below.set_xlim(0, 1)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _figure(inner: tuple[float, float], left: float, bottom: float, top: float) -> Figure:
    """Makes a figure whose margins are known: to have them found out takes as long as to draw it.

    Args:
        inner: (width, height) within the margins, in inches.
        left: margin of the labels, in inches.
        bottom: margin of the labels.
        top: margin of the title.
    """
    width, height = left + inner[0] + 0.15, bottom + inner[1] + top
    figure = Figure((width, height))
    figure.subplots_adjust(left / width, bottom / height, 1 - 0.15 / width, 1 - top / height)
    return figure


def _short(names: Sequence[str]) -> list[str]:
    return [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…" for name in names]

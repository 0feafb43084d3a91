"""What the rows of a panel look like."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from lightning_app.displays.display import PanelRow
from lightning_app.pictures import Color, difference, panel


def tiles(row: PanelRow, colors: Sequence[Color]) -> dict[str, NDArray[Any]]:
    """Returns the pictures of a row by title, each as ``pictures.panel`` takes it.

    Args:
        row: of which ``truth`` and ``prediction``, where it has them, are told apart in a picture ``difference``.
        colors: one colour a class.
    """
    shown: dict[str, NDArray[Any]] = {"image": row.image, **row.others, **row.masks}
    if {"truth", "prediction"} <= row.masks.keys():
        shown["difference"] = difference(row.image, row.masks["truth"], row.masks["prediction"], colors)
    return {**shown, **row.maps}


def combined(rows: Sequence[PanelRow], classes: Sequence[str], colors: Sequence[Color]) -> Image.Image:
    """Returns one picture of all rows, with titles and a legend.

    Args:
        rows: at least one.
        classes: the class names, in the order of the ids.
        colors: one colour a class.
    """
    shown = [tiles(row, colors) for row in rows]
    pictures, labels = [list(one.values()) for one in shown], [f"{row.domain} {row.name}" for row in rows]
    titles = ["difference (faint: right)" if title == "difference" else title for title in shown[0]]
    return panel(pictures, titles, classes, colors, labels)

"""The pictures of the runs for the page: each cell once, small enough that the page can be sent."""

import base64
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lightning_app.compare.method import Method
from lightning_app.compare.run import Missing, Picture, Run

LONGEST_SIDE = 640
"""Pixels of a cell on the page."""
BUDGET = 9_000_000
"""Bytes of the pictures in the page: with Plotly it stays below 15 MB."""
_MASKS = ("truth", "prediction", "pseudo_label")
"""Cells whose every pixel has the colour of a class, which must stay as it is."""


def panels(methods: Sequence[Method], budget: int = BUDGET) -> dict[str, Any]:
    """Gathers the panels.

    Args:
        methods: the methods.
        budget: bytes; when they are used up, the later seeds and the last images are left out.

    Returns:
        ``files``: data addresses by key; ``images``: domain, name and, by method and seed, the keys of the cells;
        ``layers``: what the cells show; ``left_out``: how many pictures found no room.
    """
    files: dict[str, str] = {}
    shown: dict[tuple[str, str], dict[str, dict[str, dict[str, str]]]] = {}
    layers: dict[str, None] = {}
    left_out = 0
    for number, index, run, picture in _in_order_of_weight(methods):
        cells: dict[str, str] = {}
        added: dict[str, str] = {}
        for layer, path in picture.cells.items():
            try:
                key, address = _embedded(path, layer in _MASKS)
            except OSError as error:
                run.missing.append(
                    Missing(f"{path.name} of the pictures ({error})", "draw it again by `lightning fit`")
                )
                continue
            cells[layer] = key
            if key not in files:
                added[key] = address
        if sum(map(len, files.values())) + sum(map(len, added.values())) > budget:
            left_out += 1
            continue
        files |= added
        layers |= dict.fromkeys(cells)
        shown.setdefault((picture.domain, picture.name), {}).setdefault(f"{index}", {})[f"{number}"] = cells
    images = [
        {"domain": domain, "name": name, "cells": cells}
        for (domain, name), cells in sorted(shown.items(), key=lambda item: item[0][0] != "target")
    ]
    return {"files": files, "images": images, "layers": list(layers), "left_out": left_out}


def _in_order_of_weight(methods: Sequence[Method]) -> list[tuple[int, int, Run, Picture]]:
    """Returns the pictures, those first that a reader misses most: of the first seeds, and the first images."""
    pictures = [
        (number, place, index, run, picture)
        for index, method in enumerate(methods)
        for number, run in enumerate(method.runs)
        for place, picture in enumerate(run.pictures)
    ]
    return [
        (number, index, run, picture) for number, _, index, run, picture in sorted(pictures, key=lambda one: one[:3])
    ]


def _embedded(path: Path, is_mask: bool) -> tuple[str, str]:
    """Returns a key that equal pictures share, and the picture as an address that holds it."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.NEAREST if is_mask else Image.Resampling.BOX)
    written = io.BytesIO()
    picture.save(written, "webp", lossless=is_mask, quality=75)
    content = written.getvalue()
    return hashlib.sha256(content).hexdigest()[:12], f"data:image/webp;base64,{base64.b64encode(content).decode()}"

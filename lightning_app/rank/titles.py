"""What tables call the candidates."""

import os
from collections.abc import Sequence
from pathlib import Path

_CHECKPOINTS = ("checkpoints/last.ckpt", "checkpoints/best.ckpt")


def titles(names: Sequence[str]) -> list[str]:
    """Shortens the names of candidates: paths lose the folders that they share, and what every run has.

    A path that is the only one keeps its last three parts.

    Args:
        names: the candidates as they were spelled, all different.

    Returns:
        As many, all different.
    """
    shortened = list(names)
    places = [place for place, name in enumerate(names) if "/" in name and Path(name).exists()]
    paths = [names[place] for place in places]
    for ending in _CHECKPOINTS:
        if all(path.endswith(f"/{ending}") for path in paths):
            paths = [path.removesuffix(f"/{ending}") for path in paths]
    try:
        shared = os.path.commonpath([Path(path).parent if len(paths) > 1 else Path(path).parents[2] for path in paths])
    except (IndexError, ValueError):  # fewer parts; absolute ones and others; no path
        shared = ""
    for place, path in zip(places, paths, strict=True):
        shortened[place] = path.removeprefix(shared).lstrip("/") if shared else path
    return shortened if len(set(shortened)) == len(names) else list(names)

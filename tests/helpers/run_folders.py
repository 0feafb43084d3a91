"""Run folders as training leaves them, made up: what is compared is known beforehand."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from lightning_app.pictures import class_colors, colorize

CLASSES = [
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
]
Photograph = tuple[str, str, NDArray[np.uint8], NDArray[np.uint8]]
"""Domain, name, image (H, W, 3), mask (H, W)."""


def write_run(
    folder: Path,
    strategy: str = "SourceOnly",
    seed: int = 0,
    quality: float = 0.6,
    labels: int | str = "none",
    labels_used: int = 0,
    settings: dict[str, Any] | None = None,
    classes: Sequence[str] = CLASSES,
    images: int = 40,
    stages: Sequence[str] = ("fit", "validate", "test"),
    photographs: Sequence[Photograph] = (),
    init_from: str | None = None,
    steps: int = 300,
    noise: float = 0.03,
    names: Sequence[str] | None = None,
) -> Path:
    """Writes a run whose target pixels are right with a chance of about ``quality``."""
    chance = np.random.default_rng([seed, sum(map(ord, strategy)), labels_used])
    folder.mkdir(parents=True)
    first, *rest = strategy.rstrip(")").split("(")
    spelled: dict[str, Any] = {"class_path": f"strategies.{first}", "init_args": dict(settings or {})}
    inner = spelled
    for name in rest:
        inner["init_args"]["base"] = {"class_path": f"strategies.{name}", "init_args": {}}
        inner = inner["init_args"]["base"]
    config = {
        "seed_everything": seed,
        "trainer": {"max_steps": steps, "logger": None},
        "model": {"strategy": spelled, "encoder": "resnet18", "init_from": init_from},
        "data": {
            "class_path": "datamodules.CrossDomainDataModule",
            "init_args": {"source": "data/day", "target": "data/dusk", "classes": list(classes), "labels": labels},
        },
        "run": str(folder),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    record = {
        "format": 1,
        "strategy": strategy,
        "source": "data/day",
        "target": "data/dusk",
        "classes": list(classes),
        "labels_used": labels_used,
        "seed": seed,
        "max_steps": steps,
        "steps": steps,
        "parameters": 14_300_000 + (2_700_000 if rest else 0),
        "trainable_parameters": 14_300_000,
        "batch": {"source": 4} if first == "SourceOnly" else {"source": 4, "target": 4},
        "world_size": 1,
        "precision": "32-true",
        "git": {"commit": "0123abcd" * 5, "dirty": False},
        "packages": {"torch": "2.15.0", "lightning": "2.6.6"},
        "hardware": {"cpu": "a processor", "cores": 2, "memory_gib": 24.0, "devices": []},
        "python": "3.11.2",
        "command": ["lightning", "fit", "--run", str(folder)],
        "started": "2026-01-01T10:00:00",
        "ended": "2026-01-01T10:10:00",
        "seconds": 600.0 + 7 * seed + (400 if rest else 0),
        "peak_memory_mib": 2100.0 + (900 if rest else 0),
        "images_per_second": 7.5,
    }
    (folder / "run.json").write_text(json.dumps(record))
    names = [f"image_{index:03}" for index in range(images)] if names is None else names
    # The same images of the same difficulty for every run.
    common = np.random.default_rng(7)
    pixels = common.integers(100, 4000, (len(names), len(classes)))
    hardness = common.normal(0, 0.12, (len(names), len(classes)))
    luck = chance.normal(0, noise)
    for stage in stages:
        right = {
            domain: np.clip(level + hardness + luck + chance.normal(0, 0.05, pixels.shape), 0.02, 0.99)
            for domain, level in (("source", 0.75), ("target", quality))
        }
        _write_stage(folder, stage, classes, names, pixels, right)
    _write_metrics(folder / "metrics" / "version_0", steps, quality, luck, chance)
    if photographs:
        _write_panel(folder / "pictures" / "last", photographs, classes, quality, steps, chance)
    return folder


def _write_stage(
    folder: Path,
    stage: str,
    classes: Sequence[str],
    names: Sequence[str],
    pixels: NDArray[np.int64],
    right: dict[str, NDArray[np.float64]],
) -> None:
    scores: list[list[Any]] = []
    rows: list[list[Any]] = []
    bins: list[list[Any]] = []
    for domain, share in right.items():
        intersection = np.round(pixels * share).astype(int)
        wrong = pixels - intersection
        # What is missed of a class is taken for the next.
        union = pixels + np.roll(wrong, 1, axis=1)
        iou = intersection.sum(0) / union.sum(0)
        scores += [[domain, "mIoU", iou.mean()], [domain, "pixel accuracy", intersection.sum() / pixels.sum()]]
        scores += [[domain, f"IoU {name}", value] for name, value in zip(classes, iou, strict=True)]
        for index, name in enumerate(names):
            own = (intersection[index] / union[index]).mean()
            rows.append([domain, "", name, own, *intersection[index], *union[index]])
        for low in np.arange(15) / 15:
            middle = low + 1 / 30
            bins.append([domain, low, low + 1 / 15, int(1e5 * middle**2), middle, middle**1.3])
    _write_csv(folder / f"{stage}.csv", ["domain", "score", "value"], scores)
    counted = [f"{kind}/{name}" for kind in ("intersection", "union") for name in classes]
    _write_csv(folder / f"images_{stage}.csv", ["domain", "part", "name", "miou", *counted], rows)
    columns = ["domain", "low", "high", "pixels", "confidence", "accuracy"]
    _write_csv(folder / f"calibration_{stage}.csv", columns, bins)


def _write_metrics(folder: Path, steps: int, quality: float, luck: float, chance: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    columns = ["epoch", "step", "train/loss/segmentation", "train/loss/total", "val/source/miou", "val/target/miou"]
    rows: list[list[Any]] = []
    for step in range(10, steps + 1, 10):
        loss = 2 * np.exp(-step / steps * 2) + chance.normal(0, 0.06)
        rows.append([0, step - 1, loss, loss * 1.1, "", ""])
        if step % (steps // 10) == 0:
            done = 1 - np.exp(-4 * step / steps)
            source, target = ((level + luck) * done + chance.normal(0, 0.01) for level in (0.6, quality * 0.7))
            rows.append([0, step - 1, "", "", source, target])
    _write_csv(folder / "metrics.csv", columns, rows)


def _write_panel(
    folder: Path,
    photographs: Sequence[Photograph],
    classes: Sequence[str],
    quality: float,
    step: int,
    chance: np.random.Generator,
) -> None:
    folder.mkdir(parents=True)
    colors = class_colors(classes)
    rows = []
    for index, (domain, name, image, mask) in enumerate(photographs):
        # Wrong in blocks, as networks are.
        coarse = (-(-mask.shape[0] // 12), -(-mask.shape[1] // 12))
        wrong = np.kron(chance.random(coarse) > quality, np.ones((12, 12)))[: mask.shape[0], : mask.shape[1]] > 0
        prediction = np.where(wrong, np.roll(mask, 40, axis=1), mask)
        prediction[prediction == 255] = 0
        differs = np.where((prediction != mask)[..., None], [200, 40, 40], [235, 235, 235]).astype(np.uint8)
        smooth = np.kron(chance.random(coarse), np.ones((12, 12)))[: mask.shape[0], : mask.shape[1]]
        cells = {
            "image": image,
            "truth": colorize(mask, colors),
            "prediction": colorize(prediction.astype(np.uint8), colors),
            "difference": differs,
            "confidence": np.repeat(np.uint8(255 * (0.5 + 0.5 * smooth))[..., None], 3, axis=-1),
        }
        files = {}
        for what, cell in cells.items():
            files[what] = f"{domain}_{index}_{what}.webp"
            Image.fromarray(cell).save(folder / files[what], lossless=what != "image")
        rows.append({"domain": domain, "name": name, "cells": files})
    (folder / "panel.json").write_text(json.dumps({"step": step, "rows": rows}))


def _write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)

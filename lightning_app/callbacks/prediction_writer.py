"""Predictions on disk: masks, overlays and probabilities, written while predicting."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image

from datamodules.batch import IGNORE
from datamodules.cross_domain_data_module import CrossDomainDataModule
from datamodules.georeference import write_mask
from lightning_app.inference import PredictBatch, Prediction
from lightning_app.pictures import Color, class_colors, overlay

OVERLAY_SIDE = 2048
"""Longest side of an overlay in pixels: every second, third … pixel of a larger image is shown."""


class _NamesClasses(Protocol):
    classes: Sequence[str]


class PredictionWriter(Callback):
    """Writes what ``predict`` finds, image by image, and keeps nothing in memory.

    In ``folder`` appear ``masks/<name>.png`` (8 bit, one channel, pixel = class id), ``overlays/<name>.jpg`` (to look
    at, at most 2048 pixels a side), ``probabilities/<name>.npy`` (float16, (classes, H, W); opens with
    ``numpy.load(path, mmap_mode="r")``) and ``classes.json`` (ids, names and colours). Names keep their sub-folders.
    The mask of an image with a georeference is ``masks/<name>.tif`` instead, with the georeference of its image. Every
    rank writes its own images. ``predict_step`` returns a :class:`~lightning_app.inference.Prediction` and hands
    ``batch["probabilities"]``, where present, to :func:`~lightning_app.inference.predict_mask`. With this callback
    ``Trainer.predict`` returns None: the predictions are in the files.

    Args:
        folder: where to write; made when missing. Files of an earlier run are replaced.
        overlays: whether to write overlays.
        probabilities: whether to write probabilities: 2 · classes bytes a pixel, 44 MB for 11 classes at 1920 × 1080.

    Raises:
        ValueError: if the folder cannot be written (before anything is predicted), if two images of a run have one
            name, or if a name leads out of the folder.
    """

    def __init__(self, folder: str = "predictions", overlays: bool = True, probabilities: bool = False) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.overlays = overlays
        self.probabilities = probabilities
        self._classes: Sequence[str] = ()
        self._colors: list[Color] = []
        self._written: set[str] = set()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Tries the folder, so that a run does not fail after its first prediction."""
        if stage != "predict":
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise ValueError(
                f"predictions cannot be written to {self.folder}: {error.strerror}. "
                "Give PredictionWriter another folder, or make this one writable."
            ) from error

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the table of the classes."""
        trainer.predict_loop.return_predictions = False
        self._classes = cast(_NamesClasses, pl_module).classes
        self._colors = class_colors(self._classes)
        self._written.clear()
        if trainer.is_global_zero:
            table = {
                "classes": [
                    {"id": class_id, "name": name, "color": color}
                    for class_id, (name, color) in enumerate(zip(self._classes, self._colors, strict=True))
                ],
                "ignore": IGNORE,
                "checkpoint": None if trainer.ckpt_path is None else str(trainer.ckpt_path),
            }
            text = json.dumps(table, indent=2, ensure_ascii=False)
            (self.folder / "classes.json").write_text(text + "\n", encoding="utf-8")

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: PredictBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Checks the names and puts the arrays for the probabilities into the batch."""
        for name in batch["name"]:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"image name {name!r} leads out of {self.folder}; give names inside the data's root.")
            if name in self._written:
                raise ValueError(
                    f"two images are named {name!r}, and the second would overwrite the first in {self.folder}. "
                    "Rename one, or predict them in two runs with a folder each."
                )
            self._written.add(name)
        if self.probabilities:
            height, width = batch["image"].shape[-2:]
            batch["probabilities"] = [
                np.lib.format.open_memmap(
                    # The final name is given to a complete file only: a run may be interrupted.
                    self._path("probabilities", name, ".npy.part"),
                    mode="w+",
                    dtype=np.float16,
                    shape=(len(self._classes), height, width),
                )
                for name in batch["name"]
            ]

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: PredictBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Writes the images of one batch."""
        if not isinstance(outputs, Prediction):
            raise TypeError(
                f"predict_step returned {type(outputs).__name__}; PredictionWriter needs a Prediction "
                "(lightning_app.inference)."
            )
        for name, array in zip(batch["name"], batch.pop("probabilities", []), strict=False):
            if not array[:, -1, -1].any():
                raise ValueError(
                    f"the probabilities of {name} were not filled: predict_step must hand batch['probabilities'] to "
                    "predict_mask."
                )
        data = getattr(trainer, "datamodule", None)
        for name, mask, image in zip(outputs.names, outputs.masks, outputs.images, strict=True):
            georeference = data.georeference(name) if isinstance(data, CrossDomainDataModule) else None
            if georeference is None:
                Image.fromarray(mask).save(self._path("masks", name, ".png"))
            else:
                write_mask(self._path("masks", name, ".tif"), mask, georeference)
            if self.overlays:
                step = -(-max(mask.shape) // OVERLAY_SIDE)
                shown = overlay(image[::step, ::step], mask[::step, ::step], self._colors)
                # Without subsampling, which would smear the classes' colours over their borders.
                Image.fromarray(shown).save(self._path("overlays", name, ".jpg"), quality=90, subsampling=0)
            if self.probabilities:
                self._path("probabilities", name, ".npy.part").replace(self._path("probabilities", name, ".npy"))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Says how much was written and where."""
        written = trainer.strategy.reduce(torch.tensor(len(self._written), device=pl_module.device), reduce_op="sum")
        rank_zero_info(f"{int(written)} masks written to {self.folder / 'masks'}")

    def _path(self, kind: str, name: str, suffix: str) -> Path:
        # Not with_suffix: a name may hold dots.
        path = self.folder / kind / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

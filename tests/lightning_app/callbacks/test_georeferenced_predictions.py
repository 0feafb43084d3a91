"""Masks of satellite and aerial images are written where their images lie on earth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from crafted import tiff
from lightning.pytorch import Trainer
from numpy.typing import NDArray
from PIL import Image
from rasterio import Affine
from rasterio.crs import CRS
from tiny import TRAINER, make_segmenter

from datamodules import CrossDomainDataModule, FolderDomain
from lightning_app.callbacks.prediction_writer import PredictionWriter
from lightning_app.inference import Windows, predict_mask
from lightning_app.segmenter import Segmenter

CHANNELS = 5
SIZE = (70, 90)
RANGE = (100.0, 3000.0)
NORTH = Affine(10, 0, 500000, 0, -10, 5600000)
SOUTH = Affine(0.5, 0.1, 300000, 0.1, -0.5, 4400000)


def _bands(seed: int) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, 4000, (*SIZE, CHANNELS), dtype=np.uint16)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Two georeferenced images, one of them in a sub-folder, and one image without a place."""
    root = tmp_path / "scenes"
    (root / "images" / "south").mkdir(parents=True)
    (root / "images" / "north.tif").write_bytes(tiff(_bands(0), crs="EPSG:32632", transform=NORTH))
    (root / "images" / "south" / "a b.TIF").write_bytes(tiff(_bands(1), crs="EPSG:3035", transform=SOUTH))
    (root / "images" / "nowhere.tiff").write_bytes(tiff(_bands(2)))
    (root / "test.txt").write_text("north\nsouth/a b\nnowhere\n")
    return root


def _predict(scenes: Path, out: Path, segmenter: Segmenter, predict: str) -> None:
    data = CrossDomainDataModule(
        target=FolderDomain(str(scenes), value_range=RANGE),
        classes=list(segmenter.classes),
        channels=CHANNELS,
        workers=0,
        predict=predict,
    )
    settings: dict[str, Any] = {**TRAINER, "callbacks": [PredictionWriter(str(out))]}
    Trainer(**settings).predict(segmenter, data)


@pytest.mark.parametrize("windows", [None, Windows(32, overlap=0.5)])
@pytest.mark.parametrize("as_folder", [False, True])
def test_masks_lie_where_their_images_lie(
    scenes: Path, tmp_path: Path, windows: Windows | None, as_folder: bool
) -> None:
    segmenter = make_segmenter(None, in_channels=CHANNELS)
    segmenter.windows = windows
    out = tmp_path / "out"
    _predict(scenes, out, segmenter, str(scenes / "images") if as_folder else "target/test")

    written = {path.relative_to(out / "masks").as_posix() for path in (out / "masks").rglob("*.*")}
    assert written == {"north.tif", "south/a b.tif", "nowhere.png"}
    for seed, name, crs, transform in ((0, "north", 32632, NORTH), (1, "south/a b", 3035, SOUTH)):
        with rasterio.open(out / "masks" / f"{name}.tif") as file:
            assert file.crs == CRS.from_epsg(crs)
            assert file.transform == transform
            assert (file.count, file.dtypes) == (1, ("uint8",))
            mask = file.read(1)
        scaled = ((_bands(seed) - RANGE[0]) / (RANGE[1] - RANGE[0])).clip(0, 1).astype(np.float32)
        segmenter.eval()
        expected = predict_mask(segmenter.network, torch.from_numpy(scaled).movedim(-1, 0), windows, "cpu")
        assert np.mean(mask == expected) > 0.999  # scaled once in float32 and once in float64
        assert Image.open(out / "overlays" / f"{name}.jpg").size == (SIZE[1], SIZE[0])
    assert Image.open(out / "masks" / "nowhere.png").size == (SIZE[1], SIZE[0])


def test_a_single_image_is_predicted_in_its_place(scenes: Path, tmp_path: Path) -> None:
    segmenter = make_segmenter(None, in_channels=CHANNELS)
    _predict(scenes, tmp_path / "out", segmenter, str(scenes / "images" / "south" / "a b.TIF"))
    with rasterio.open(tmp_path / "out" / "masks" / "a b.tif") as file:
        assert file.transform == SOUTH

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lightning_app.callbacks.prediction_writer import PredictionWriter
from lightning_app.inference import PredictBatch, Prediction, Windows, predict_mask
from lightning_app.pictures import class_colors, overlay

CLASSES = ["road", "sky", "leaf"]
Samples = Sequence[tuple[str, NDArray[Any]]]


class TinySegmenter(LightningModule):
    def __init__(self, hand_on: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Conv2d(3, len(CLASSES), 1)
        self.classes = CLASSES
        self.hand_on = hand_on
        self.predicted = 0

    def predict_step(self, batch: PredictBatch, batch_idx: int) -> Prediction:
        self.predicted += 1
        arrays = batch.get("probabilities") if self.hand_on else None
        masks = [
            predict_mask(self.network, image, Windows(8), self.device, arrays[index] if arrays else None)
            for index, image in enumerate(batch["image"])
        ]
        return Prediction(batch["name"], masks, [image.permute(1, 2, 0).numpy() for image in batch["image"]])


def collate(samples: list[tuple[str, NDArray[Any]]]) -> dict[str, Any]:
    images = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for _, image in samples])
    return {"image": images, "name": [name for name, _ in samples], "domain": "target"}


def samples(*names: str, height: int = 12, width: int = 20) -> Samples:
    """Images of blocks as large as those of JPEG, which keeps such images well."""
    random = np.random.default_rng(0)
    blocks = [random.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8) for _ in names]
    return [
        (name, block.repeat(8, axis=0).repeat(8, axis=1)[:height, :width])
        for name, block in zip(names, blocks, strict=True)
    ]


def predict(
    data: Samples, writer: PredictionWriter, batch_size: int = 1, module: TinySegmenter | None = None, **settings: Any
) -> Any:
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[writer, *settings.pop("callbacks", [])],
    )
    loader: DataLoader[Any] = DataLoader(cast(Dataset[Any], data), batch_size=batch_size, collate_fn=collate)
    return trainer.predict(module or TinySegmenter(), loader, **settings)


def expected_logits(image: NDArray[Any]) -> Tensor:
    with torch.no_grad():
        logits: Tensor = TinySegmenter().network(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)
    return logits[0]


def test_masks_and_overlays_are_written_under_the_names_of_the_images(tmp_path: Path) -> None:
    data = samples("a", "drive_01/frame_003", "drive_02/frame_003", "Straße bei Nacht.v2", "道路 1")
    writer = PredictionWriter(str(tmp_path / "out"))

    assert predict(data, writer, batch_size=2) is None

    for name, image in data:
        file = Image.open(tmp_path / "out" / "masks" / f"{name}.png")
        assert file.mode == "L"
        mask = np.asarray(file)
        assert np.array_equal(mask, expected_logits(image).argmax(0))
        shown = np.asarray(Image.open(tmp_path / "out" / "overlays" / f"{name}.jpg"), dtype=int)
        assert np.abs(shown - overlay(image, mask, class_colors(CLASSES))).max() < 12  # JPEG
    assert len(list((tmp_path / "out" / "masks").rglob("*.png"))) == len(data)
    assert not (tmp_path / "out" / "probabilities").exists()


def test_probabilities_are_written_on_request(tmp_path: Path) -> None:
    data = samples("a", "drive/b")
    predict(data, PredictionWriter(str(tmp_path), overlays=False, probabilities=True), batch_size=2)

    for name, image in data:
        array = np.load(tmp_path / "probabilities" / f"{name}.npy", mmap_mode="r")
        assert array.dtype == np.float16
        np.testing.assert_allclose(array, expected_logits(image).softmax(0).numpy(), atol=1e-3)
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / "overlays").exists()


def test_images_of_different_sizes(tmp_path: Path) -> None:
    data = [*samples("small", height=3, width=5), *samples("wide", height=9, width=40)]
    predict(data, PredictionWriter(str(tmp_path), probabilities=True))
    assert Image.open(tmp_path / "masks" / "small.png").size == (5, 3)
    assert np.load(tmp_path / "probabilities" / "wide.npy").shape == (3, 9, 40)


def test_the_overlay_of_a_very_large_image_is_thinned_out_and_its_mask_is_not(tmp_path: Path) -> None:
    predict(samples("large", height=4, width=4100), PredictionWriter(str(tmp_path)))
    assert Image.open(tmp_path / "masks" / "large.png").size == (4100, 4)
    assert Image.open(tmp_path / "overlays" / "large.jpg").size == (1367, 2)


def test_classes_are_written_with_their_colours_and_the_checkpoint(tmp_path: Path) -> None:
    module = TinySegmenter()
    checkpoint = tmp_path / "last.ckpt"
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(checkpoint)

    predict(samples("a"), PredictionWriter(str(tmp_path / "out")), ckpt_path=checkpoint)

    table = json.loads((tmp_path / "out" / "classes.json").read_text(encoding="utf-8"))
    assert table["ignore"] == 255
    assert table["checkpoint"] == str(checkpoint)
    assert [(entry["id"], entry["name"]) for entry in table["classes"]] == [(0, "road"), (1, "sky"), (2, "leaf")]
    assert [tuple(entry["color"]) for entry in table["classes"]] == class_colors(CLASSES)


def test_every_image_is_on_disk_before_the_next_is_predicted(tmp_path: Path) -> None:
    class Stop(Callback):
        def on_predict_batch_start(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
            if arguments[1] == 2:
                raise RuntimeError("power cut")

    writer = PredictionWriter(str(tmp_path), probabilities=True)
    with pytest.raises(RuntimeError, match="power cut"):
        predict(samples("a", "b", "c"), writer, callbacks=[Stop()])

    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["a.png", "b.png"]
    # The file of the interrupted image does not pass for a finished one.
    assert sorted(path.name for path in (tmp_path / "probabilities").glob("*.npy")) == ["a.npy", "b.npy"]


def test_one_line_says_how_many_masks_are_where(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("lightning.pytorch").addHandler(caplog.handler)
        predict(samples("a", "b", "c"), PredictionWriter(str(tmp_path)), batch_size=2)
        logging.getLogger("lightning.pytorch").removeHandler(caplog.handler)
    assert f"3 masks written to {tmp_path / 'masks'}" in caplog.messages


def test_a_second_run_with_the_same_writer_replaces_the_files(tmp_path: Path) -> None:
    writer = PredictionWriter(str(tmp_path))
    predict(samples("a"), writer)
    predict(samples("a", height=5), writer)
    assert Image.open(tmp_path / "masks" / "a.png").size == (20, 5)


def test_two_images_of_one_name_are_an_error_and_the_first_stays(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two images are named 'a'"):
        predict([*samples("a"), *samples("a", height=5)], PredictionWriter(str(tmp_path)))
    assert Image.open(tmp_path / "masks" / "a.png").size == (20, 12)


@pytest.mark.parametrize("name", ["../a", "/tmp/a", "b/../../a"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="leads out of"):
        predict(samples(name), PredictionWriter(str(tmp_path / "out")))


def test_a_folder_that_cannot_be_written_is_said_before_the_first_prediction(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    module = TinySegmenter()
    with pytest.raises(ValueError, match=r"predictions cannot be written to .*file.*another folder"):
        predict(samples("a"), PredictionWriter(str(tmp_path / "file" / "out")), module=module)
    assert module.predicted == 0


def test_a_module_that_does_not_hand_on_the_arrays_is_an_error(tmp_path: Path) -> None:
    writer = PredictionWriter(str(tmp_path), probabilities=True)
    with pytest.raises(ValueError, match="probabilities of a were not filled"):
        predict(samples("a"), writer, module=TinySegmenter(hand_on=False))
    assert not list(tmp_path.rglob("*.npy"))


def test_a_module_that_returns_something_else_is_an_error(tmp_path: Path) -> None:
    class Bare(TinySegmenter):
        def predict_step(self, batch: PredictBatch, batch_idx: int) -> Any:
            return [0]

    with pytest.raises(TypeError, match="returned list; PredictionWriter needs a Prediction"):
        predict(samples("a"), PredictionWriter(str(tmp_path)), module=Bare())

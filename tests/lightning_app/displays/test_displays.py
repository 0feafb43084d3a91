import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_app.displays.display import Display, PanelRow
from lightning_app.displays.displays import Displays
from lightning_app.displays.wandb_display import WandbDisplay
from lightning_app.pictures import class_colors

CLASSES = ["Road", "Sky", "Car"]
COLORS = np.array([*class_colors(CLASSES)])


def example_row(domain: str = "target", name: str = "street_7") -> PanelRow:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, (24, 36), dtype=np.uint8)
    prediction = np.where(generator.random((24, 36)) < 0.3, 1, truth).astype(np.uint8)
    truth[:4] = 255
    return PanelRow(
        domain,
        name,
        generator.integers(0, 256, (24, 36, 3), dtype=np.uint8),
        {"truth": truth, "prediction": prediction},
        {"confidence": generator.random((24, 36), dtype=np.float32)},
    )


def example_figure() -> Figure:
    figure = Figure(figsize=(2, 1), dpi=100)
    figure.subplots().plot([1, 2])
    return figure


def show_all(display: Display) -> None:
    display.panel("val/panel", [example_row("source", "sunny"), example_row()], 300)
    display.figure("val/target/confusion", example_figure(), 300)
    display.table("val/target/worst", ["name", "mIoU"], [["a|b", 0.123456], ["c", 1]], 300)


def read(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path).convert("RGB"))


def test_files_hold_the_panel_and_its_cells_and_figures_and_tables(tmp_path: Path) -> None:
    show_all(Displays(tmp_path, CLASSES))
    folder = tmp_path / "pictures"
    described = json.loads((folder / "last" / "panel.json").read_text())
    assert described["step"] == 300
    assert [(row["domain"], row["name"]) for row in described["rows"]] == [("source", "sunny"), ("target", "street_7")]
    row, cells = (
        example_row(),
        {key: read(folder / "last" / cell) for key, cell in described["rows"][1]["cells"].items()},
    )
    assert list(cells) == ["image", "truth", "prediction", "difference", "confidence"]
    assert np.array_equal(cells["prediction"], COLORS[row.masks["prediction"]]), "without loss"
    assert not cells["truth"][:4].any() and np.array_equal(cells["truth"][4:], COLORS[row.masks["truth"][4:]])
    assert np.abs(cells["image"].mean(axis=(0, 1)) - row.image.mean(axis=(0, 1))).max() < 8
    picture = Image.open(folder / "step_000300.png")
    assert picture.width > 5 * 240 and picture.height > 2 * 240
    assert Image.open(folder / "val" / "target" / "confusion.png").size == (200, 100)
    with (folder / "val" / "target" / "worst.csv").open() as file:
        assert list(csv.reader(file)) == [["name", "mIoU"], ["a|b", "0.123456"], ["c", "1"]]
    assert not list(tmp_path.rglob("*.part"))


def test_the_cells_are_those_of_the_last_validation_and_training_leaves_them(tmp_path: Path) -> None:
    displays = Displays(tmp_path, CLASSES)
    displays.panel("val/panel", [example_row(name="early")], 100)
    displays.panel("val/panel", [example_row(name="late")], 200)
    displays.panel("train/mixed", [example_row(name="1")], 300)
    displays.panel("validate/panel", [example_row(name="scored")], 150)
    [row] = json.loads((tmp_path / "pictures/last/panel.json").read_text())["rows"]
    assert row["name"] == "late"
    assert {path.name for path in (tmp_path / "pictures").glob("*.png")} == {"step_000100.png", "step_000200.png"}
    assert (tmp_path / "pictures/train/mixed_000300.png").exists()
    [row] = json.loads((tmp_path / "pictures/validate/panel.json").read_text())["rows"]
    assert row["name"] == "scored"


def test_tensorboard_shows_the_same(tmp_path: Path) -> None:
    displays, logger = Displays(tmp_path, CLASSES), TensorBoardLogger(tmp_path, name="board", version="0")
    displays.connect([logger])
    show_all(displays)
    logger.experiment.flush()
    board = EventAccumulator(logger.log_dir, size_guidance={"images": 0, "tensors": 0}).Reload()
    assert set(board.Tags()["images"]) == {"val/panel", "val/target/confusion"}
    [panel] = board.Images("val/panel")
    assert panel.step == 300
    assert (panel.width, panel.height) == Image.open(tmp_path / "pictures" / "step_000300.png").size
    [text] = board.Tensors("val/target/worst/text_summary")
    table = text.tensor_proto.string_val[0].decode()
    assert table.splitlines() == ["| name | mIoU |", "| --- | --- |", r"| a\|b | 0.1235 |", "| c | 1 |"]


class KeptWandbLogger(WandbLogger):
    """Keeps what would be sent: no process is started."""

    def __init__(self) -> None:
        super().__init__(offline=True)
        self.sent: dict[str, Any] = {}

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        assert step == 300
        self.sent.update(metrics)


def test_wandb_gets_masks_with_the_names_of_the_classes(tmp_path: Path) -> None:
    displays, logger = Displays(tmp_path, CLASSES), KeptWandbLogger()
    displays.connect([logger])
    show_all(displays)
    assert set(logger.sent) == {"val/panel", "val/panel/confidence", "val/target/confusion", "val/target/worst"}
    row, shown = example_row(), logger.sent["val/panel"][1]
    assert "street_7" in shown._caption
    masks = {key: np.asarray(Image.open(mask._path)) for key, mask in shown._masks.items()}
    truth, prediction = (np.where(mask == 255, 3, mask) for mask in row.masks.values())
    assert set(masks) == {"truth", "prediction", "difference"}
    assert np.array_equal(masks["truth"], truth) and np.array_equal(masks["prediction"], prediction)
    named = {class_id: [*CLASSES, "ignore", "right"].index(name) for class_id, name in enumerate(CLASSES)}
    assert shown._masks["truth"]._val["class_labels"] == {0: "Road", 1: "Sky", 2: "Car", 3: "ignore", 4: "right"}
    assert np.array_equal(masks["difference"] == 4, (truth == prediction) & (truth != 3))
    wrong = (truth != prediction) & (truth != 3)
    assert wrong.any() and np.array_equal(masks["difference"][wrong], np.vectorize(named.get)(prediction)[wrong])
    table = logger.sent["val/target/worst"]
    assert isinstance(table, wandb.Table)
    assert (table.columns, table.data) == (["name", "mIoU"], [["a|b", 0.123456], ["c", 1]])


def test_wandb_shows_masks_of_more_classes_than_it_can_lay_over_beside_the_image() -> None:
    names = [f"class {number}" for number in range(127)]
    for classes, laid_over in ((names[:126], True), (names, False)):
        logger = KeptWandbLogger()
        WandbDisplay(logger, classes).panel("val/panel", [example_row()], 300)
        assert bool(logger.sent["val/panel"][0]._masks) == laid_over
        assert ("val/panel/truth" in logger.sent) != laid_over


class Silent(Logger):
    """A logger of numbers."""

    @property
    def name(self) -> str:
        return "silent"

    @property
    def version(self) -> str:
        return "0"

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        pass

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass


def test_a_logger_that_cannot_show_pictures_is_named_once(tmp_path: Path) -> None:
    displays = Displays(tmp_path, CLASSES)
    with pytest.warns(UserWarning, match=f"^Silent is sent numbers alone: .* go to {tmp_path / 'pictures'}") as warned:
        displays.connect([CSVLogger(tmp_path), Silent()])
        show_all(displays)
        show_all(displays)
    assert len(warned) == 1


class Failing(TensorBoardLogger):
    @property
    def experiment(self) -> Any:
        raise ConnectionError("the server answers 500")


def test_a_display_that_fails_is_told_of_once_and_the_others_go_on(tmp_path: Path) -> None:
    displays = Displays(tmp_path, CLASSES)
    displays.connect([Failing(tmp_path)])
    with pytest.warns(
        UserWarning, match="TensorBoardDisplay could not show val/panel: .*the server answers 500"
    ) as warned:
        show_all(displays)
    assert len(warned) == 1
    assert (tmp_path / "pictures" / "val" / "target" / "worst.csv").exists()


def test_files_alone_need_neither_wandb_nor_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked: Sequence[str] = [name for name in sys.modules if name.split(".")[0] in ("wandb", "tensorboard")]
    for name in ("wandb", "tensorboard", *blocked):
        monkeypatch.setitem(sys.modules, name, None)
    displays = Displays(tmp_path, CLASSES)
    displays.connect([CSVLogger(tmp_path)])
    show_all(displays)
    assert (tmp_path / "pictures" / "step_000300.png").exists()

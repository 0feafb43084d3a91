"""What is written and shown of an evaluation, against scikit-learn and numpy on the predictions themselves."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix, jaccard_score
from torch import Tensor

from datamodules import SyntheticStreets
from datamodules.domain import IdArray
from datamodules.joined_domains import JoinedDomains
from lightning_app.averaging import AveragedNetwork
from lightning_app.callbacks import evaluation_record
from lightning_app.callbacks.evaluation_record import EvaluationRecord
from lightning_app.callbacks.score_table import ScoreTable
from lightning_app.displays.display import Display, PanelRow, TableCell
from lightning_app.inference import Windows, predict_mask
from lightning_app.segmenter import Segmenter
from strategies import MeanTeacher, SourceOnly

CLASSES = list(SyntheticStreets.classes)


class PartlyIgnored(tiny.KeptStreets):
    """Streets without a label of the first class, whose second validation image has none at all."""

    def read_mask(self, name: str) -> IdArray:
        mask = super().read_mask(name)
        mask[mask == 0] = 255
        if name == self.names("val")[1]:
            mask[:] = 255
        return mask


class Shown(Display):
    """Keeps what it is shown, by name; and when."""

    def __init__(self) -> None:
        self.figures: dict[str, Figure] = {}
        self.steps: list[int] = []
        self.tables: dict[str, tuple[Sequence[str], Sequence[Sequence[TableCell]]]] = {}

    def panel(self, name: str, rows: Sequence[PanelRow], step: int) -> None:
        raise AssertionError("an evaluation's record has no panel")

    def figure(self, name: str, figure: Figure, step: int) -> None:
        self.figures[name] = figure
        self.steps.append(step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[TableCell]], step: int) -> None:
        self.tables[name] = columns, rows


class Outputs(Callback):
    """Keeps what the validation returned for each image, with its mask."""

    def __init__(self) -> None:
        self.images: dict[tuple[str, str], tuple[Tensor, Tensor, Tensor]] = {}

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *place: int
    ) -> None:
        for index, name in enumerate(batch["name"]):
            kept = outputs["prediction"][index], outputs["confidence"][index], batch["mask"][index]
            self.images[batch["domain"], name] = kept


def make_data(**settings: Any) -> Any:
    target = PartlyIgnored(look="dusk", size=(32, 48), train=10, val=4, test=3)
    return tiny.make_data(workers=0, target=target, **settings)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outputs, Shown, Segmenter]:
    """A validation of three source and four target images, one of these without a label."""
    folder, outputs, shown = tmp_path_factory.mktemp("run"), Outputs(), Shown()
    segmenter = tiny.make_segmenter(None)
    segmenter.loaded_step = 40  # as after a checkpoint
    trainer = Trainer(**tiny.TRAINER, devices=1, callbacks=[outputs, EvaluationRecord(folder, shown)])
    trainer.validate(segmenter, make_data(), verbose=False)
    return folder, outputs, shown, segmenter


def test_the_confusion_matrix_is_scikit_learns(validated: Any) -> None:
    folder, outputs, _, _ = validated
    rows = read(folder / "confusion_validate.csv")
    for domain in ("source", "target"):
        mine = [images for (of, _), images in outputs.images.items() if of == domain]
        prediction, truth = (np.concatenate([one[part].flatten() for one in mine]) for part in (0, 2))
        wanted = confusion_matrix(truth[truth != 255], prediction[truth != 255], labels=range(len(CLASSES)))
        found = [row for row in rows if row["domain"] == domain]
        assert [(row["truth"], row["prediction"]) for row in found] == [(t, p) for t in CLASSES for p in CLASSES]
        assert [int(row["pixels"]) for row in found] == wanted.flatten().tolist()


def test_each_image_has_its_pixels_and_its_mean_over_the_classes_that_it_has(validated: Any) -> None:
    folder, outputs, _, _ = validated
    rows = read(folder / "images_validate.csv")
    assert [(row["domain"], row["name"]) for row in rows] == sorted(outputs.images)
    for row in rows:
        prediction, _, truth = (one.flatten().numpy() for one in outputs.images[row["domain"], row["name"]])
        prediction, truth = prediction[truth != 255], truth[truth != 255]
        for index, name in enumerate(CLASSES):
            assert int(row[f"intersection/{name}"]) == ((truth == index) & (prediction == index)).sum()
            assert int(row[f"union/{name}"]) == ((truth == index) | (prediction == index)).sum()
        if truth.size:
            present = np.union1d(truth, prediction)
            assert float(row["miou"]) == pytest.approx(
                jaccard_score(truth, prediction, labels=present, average="macro")
            )
        else:
            assert row["miou"] == ""
    assert sum(row["miou"] == "" for row in rows) == 1


def test_calibration_is_that_of_the_pixels_and_the_score_is_its_error(validated: Any) -> None:
    folder, outputs, _, segmenter = validated
    rows = read(folder / "calibration_validate.csv")
    for domain in ("source", "target"):
        mine = [images for (of, _), images in outputs.images.items() if of == domain]
        prediction, confidence, truth = (np.concatenate([one[part].flatten() for one in mine]) for part in range(3))
        counted, error = truth != 255, 0.0
        found = [row for row in rows if row["domain"] == domain]
        assert len(found) == 15 and sum(int(row["pixels"]) for row in found) == counted.sum()
        for row in found:
            inside = counted & (confidence > float(row["low"])) & (confidence <= float(row["high"]))
            assert int(row["pixels"]) == inside.sum()
            if inside.any():
                accuracy = (prediction == truth)[inside].mean()
                assert float(row["accuracy"]) == pytest.approx(accuracy)
                assert float(row["confidence"]) == pytest.approx(confidence[inside].mean(dtype=float))
                error += inside.sum() / counted.sum() * abs(accuracy - confidence[inside].mean(dtype=float))
            else:
                assert row["accuracy"] == row["confidence"] == ""
        assert segmenter.scores[domain].ece == pytest.approx(error)


def test_the_figures_show_these_numbers(validated: Any) -> None:
    _, _, shown, segmenter = validated
    of_domains = {
        f"validate/{domain}/{kind}" for domain in ("source", "target") for kind in ("confusion", "reliability")
    }
    assert set(shown.figures) == {*of_domains, "validate/iou"} and set(shown.steps) == {40}
    scores = segmenter.scores["target"]
    axes = shown.figures["validate/target/confusion"].axes[0]
    drawn = np.ma.filled(axes.images[0].get_array().astype(float), np.nan)
    counts = np.array(scores.confusion)
    assert np.isnan(drawn[0]).all() and not counts[0].any()
    np.testing.assert_allclose(drawn[1:], 100 * counts[1:] / counts[1:].sum(axis=1, keepdims=True))
    assert [label.get_text() for label in axes.get_yticklabels()] == CLASSES
    assert f"ECE {100 * scores.ece:.1f} %" in shown.figures["validate/target/reliability"].axes[0].get_title()
    bars = shown.figures["validate/iou"].axes[0].containers[1]
    assert [bar.get_width() for bar in bars] == pytest.approx(
        [100 * value for value in (scores.miou, *(scores.iou.get(name, np.nan) for name in CLASSES))], nan_ok=True
    )


def test_the_targets_worst_images_are_listed_the_worst_first(validated: Any) -> None:
    folder, _, shown, _ = validated
    scored = [row for row in read(folder / "images_validate.csv") if row["domain"] == "target" and row["miou"]]
    columns, rows = shown.tables["validate/target/worst_images"]
    by_miou = sorted(scored, key=lambda row: float(row["miou"]))
    assert [row[0] for row in rows] == [row["name"] for row in by_miou] and len(rows) == 3
    for row, written in zip(rows, by_miou, strict=True):
        shown_row = dict(zip(columns, row, strict=True))
        iou = {
            name: int(written[f"intersection/{name}"]) / int(written[f"union/{name}"])
            for name in CLASSES
            if written[f"union/{name}"] != "0"
        }
        assert shown_row["mIoU"] == pytest.approx(float(written["miou"]))
        assert shown_row["its IoU"] == min(iou.values()) == iou[str(shown_row["lowest class"])]


@pytest.mark.parametrize("windows", [None, Windows(24, overlap=0.25), Windows((32, 30), scale=0.5)])
def test_confidence_is_the_largest_probability_of_the_network_that_infers(
    windows: Windows | None, make_trainer: Callable[..., Trainer]
) -> None:
    outputs, segmenter, data = Outputs(), tiny.make_segmenter(None, windows=windows), tiny.make_data(workers=0)
    torch.manual_seed(3)
    others = [tiny.make_segmenter(None).network.eval() for _ in range(2)]
    for parameter in others[1].parameters():
        parameter.data *= 1.3
    segmenter.others.extend(others)
    make_trainer(callbacks=[outputs]).validate(segmenter, data, verbose=False)
    network = AveragedNetwork([segmenter.network, *others]).eval()
    for name in data.domains["target"].names("val"):
        image = data.domains["target"].read_image(name)
        probabilities = np.empty((len(CLASSES), 32, 48), np.float16)
        mask = predict_mask(network, image, windows, "cpu", probabilities=probabilities)
        prediction, confidence, _ = outputs.images["target", name]
        np.testing.assert_array_equal(prediction, mask)
        assert confidence.shape == (32, 48) and confidence.dtype == torch.float32
        np.testing.assert_allclose(confidence, probabilities.max(axis=0), atol=5e-4)


def test_a_fit_records_every_validation_beside_its_pseudo_labels_and_a_full_disk_ends_nothing(
    tmp_path: Path, make_trainer: Callable[..., Trainer], capsys: pytest.CaptureFixture[str]
) -> None:
    kept: list[str] = []

    class Keeper(Callback):
        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.sanity_checking:
                assert not list(tmp_path.iterdir()) and not shown.figures
                return
            kept.append((tmp_path / "images_fit.csv").read_text())
            # From now on the disk is full for two of the files.
            for name in ("images_fit.csv", "fit.csv"):
                (tmp_path / f"{name}.part").unlink(missing_ok=True)
                (tmp_path / f"{name}.part").symlink_to("/dev/full")

    shown, segmenter = Shown(), tiny.make_segmenter(MeanTeacher(threshold=0.3))
    streets = [tiny.KeptStreets(look=look, size=(32, 48), train=10, val=3, test=3) for look in ("fog", "dusk")]
    data = tiny.make_data(workers=0, target=JoinedDomains(streets))
    callbacks = [ScoreTable(str(tmp_path)), EvaluationRecord(tmp_path, shown), Keeper()]
    trainer = make_trainer(max_steps=2, val_check_interval=1, num_sanity_val_steps=1, callbacks=callbacks)
    with pytest.warns(UserWarning, match=r"images_fit\.csv could not be written: No space left on device") as warned:
        trainer.fit(segmenter, data)
    assert any("/fit.csv could not be written" in str(one.message) for one in warned)
    assert trainer.global_step == 2 and len(kept) == 2 and kept[0] == kept[1]
    assert shown.steps == [2] * 5, "a minute after the last figures, or at the end"
    assert not [name for name in shown.figures if "fog" in name], "parts are in the files alone"
    places = {"source", "target", "target/dusk", "target/fog"}
    assert {row["domain"] for row in read(tmp_path / "confusion_fit.csv")} == places
    assert {row["part"] for row in read(tmp_path / "images_fit.csv")} == {"", "dusk", "fog"}
    logged = {name for name in trainer.callback_metrics if name.endswith("ece")}
    assert logged == {f"val/{place}/ece" for place in places}
    total, *parts = (np.array(segmenter.scores[f"target{part}"].calibration) for part in ("", "/dusk", "/fog"))
    np.testing.assert_allclose(total, sum(parts))
    assert total[:, 0].sum() == 6 * 32 * 48
    assert "val/target/pseudo_labels/coverage" in trainer.callback_metrics
    assert "Worst target images by mIoU: " in capsys.readouterr().out


def test_a_long_fit_is_shown_on_its_way(
    tmp_path: Path, make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_record, "SECONDS", 0)
    shown = Shown()
    trainer = make_trainer(max_steps=2, val_check_interval=1, callbacks=[EvaluationRecord(tmp_path, shown)])
    trainer.fit(tiny.make_segmenter(SourceOnly()), tiny.make_data(workers=0))
    assert shown.steps == [1] * 5 + [2] * 5


def test_averages_have_files_of_their_own_and_a_trial_has_none(
    tmp_path: Path, make_trainer: Callable[..., Trainer]
) -> None:
    segmenter = tiny.make_segmenter(SourceOnly())
    trial = make_trainer(fast_dev_run=True, callbacks=[EvaluationRecord(tmp_path, Shown())])
    trial.fit(segmenter, tiny.make_data(workers=0))
    assert not list(tmp_path.glob("*.csv"))
    segmenter.others.append(tiny.make_segmenter(None).network)
    make_trainer(callbacks=[EvaluationRecord(tmp_path, Shown())]).test(
        segmenter, tiny.make_data(workers=0), verbose=False
    )
    written = {path.name for path in tmp_path.glob("*.csv")}
    assert written == {f"{kind}_test_averaged.csv" for kind in ("images", "confusion", "calibration")}

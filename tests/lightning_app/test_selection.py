"""Choosing a checkpoint without target labels, by the command line."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import yaml
from PIL import Image
from refusals import refused

from datamodules import CrossDomainDataModule, SyntheticStreets
from datamodules.reading import read_image
from lightning_app.callbacks.monitor_check import _lacking
from lightning_app.cli import main
from lightning_app.segmenter import Segmenter
from lightning_app.selection import mode_of

EVERY_STEP = ["--trainer.val_check_interval", "1", "--trainer.check_val_every_n_epoch", "null"]
SCORES = {"entropy", "mutual_information", "snd", "class_prior", "augmentation_consistency", "teacher_agreement"}
PREFIX = "val/target/unsupervised/"


@pytest.fixture
def config(config: Path) -> Path:
    """The tiny config with an encoder whose checkpoints are small."""
    config.write_text(config.read_text().replace("encoder: resnet18", "encoder: tu-test_resnet"))
    return config


@pytest.fixture
def unlabelled(config: Path) -> Path:
    """The tiny config with a target of images alone."""
    streets = SyntheticStreets("dusk", size=(32, 48), train=5, val=0, test=0)
    Path("target/images").mkdir(parents=True)
    for name in streets.names("train"):
        Image.fromarray(streets.read_image(name)).save(f"target/images/{name}.png")
    content: dict[str, Any] = yaml.safe_load(config.read_text())
    content["data"]["init_args"]["target"] = "target"
    config.write_text(yaml.safe_dump(content))
    return config


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        *((f"{PREFIX}{name}", "min" if name in ("entropy", "class_prior") else "max") for name in sorted(SCORES)),
        *(("val/target/miou", "max"), ("val/target/iou/ece", "max")),  # of a class of that name
        *(("val/target/ece", "min"), ("val/target/night/ece", "min")),
    ],
)
def test_more_or_less_is_better(monitor: str, mode: str) -> None:
    assert mode_of(monitor) == mode


def curves(folder: Path) -> dict[str, list[float]]:
    """What each validation logged, over the parts of a resumed run."""
    found: dict[str, list[float]] = {}
    for path in sorted((folder / "metrics").rglob("metrics.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                for name, value in row.items():
                    if value and name.startswith("val/"):
                        found.setdefault(name, []).append(float(value))
    return found


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["score"]: row for row in csv.DictReader(file)}


def test_a_target_without_labels_chooses_the_checkpoint(unlabelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by = ["--config", str(Path(__file__).parents[2] / "configs/selection/snd.yaml")]
    teacher = ["--model.strategy", "MeanTeacher", "--model.augmentation_consistency", "true"]
    main(["fit", "--config", str(unlabelled), *by, *teacher, "--run", "a", *EVERY_STEP])
    folder, found = Path("runs/a"), curves(Path("runs/a"))
    assert {name.removeprefix(PREFIX) for name in found if "unsupervised" in name} == SCORES
    # No score is made of labels that are not there.
    others = {name for name in found if name.startswith("val/target/") and "unsupervised" not in name}
    assert others == {"val/target/pseudo_labels/coverage"} and not (folder / "selection.csv").exists()
    snd = found[f"{PREFIX}snd"]
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    assert len(snd) == 3 and best["global_step"] == 1 + int(np.argmax(snd))
    shown = capsys.readouterr().out
    assert f"target, by scores that need no labels: entropy {found[f'{PREFIX}entropy'][-1]:.4f}, mutual" in shown

    segmenter = Segmenter.load(folder / "checkpoints/last.ckpt")
    entropies, agreed = [], []
    for path in sorted(Path("target/images").iterdir()):
        image = torch.from_numpy(read_image(path).copy()).movedim(-1, 0)[None] / 255
        with torch.no_grad():
            logits, flipped = segmenter.network(image), segmenter.network(image.flip(3)).flip(3)
        of_pixels = torch.distributions.Categorical(logits=logits.movedim(1, -1)).entropy()
        entropies.append(of_pixels[:, ::2, ::2].mean())
        agreed.append((logits.argmax(1) == flipped.argmax(1)).float().mean())
    wanted = float(np.mean(entropies) / np.log(len(segmenter.classes)))
    assert found[f"{PREFIX}entropy"][-1] == pytest.approx(wanted, abs=1e-4)
    assert found[f"{PREFIX}augmentation_consistency"][-1] == pytest.approx(np.mean(agreed), abs=2e-3)

    main(["validate", "--config", str(unlabelled), "--ckpt_path", str(folder / "checkpoints/last.ckpt")])
    rows = table(folder / "validate.csv")
    assert float(rows["unsupervised/snd"]["value"]) == pytest.approx(snd[-1], abs=1e-4)
    assert {row["domain"] for name, row in rows.items() if name in ("mIoU", "IoU road")} == {"source"}
    assert len(list((folder / "pictures/last").glob("target_*_prediction.webp"))) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["entropy"], f"of '{PREFIX}entropy', but of this less is better. Set checkpoint.mode to min."),
        (["sndd"], f"Set checkpoint.monitor (or the callback's) to {PREFIX}snd"),
        (["teacher_agreement"], "will not be logged: SourceOnly has no teacher."),
        (["augmentation_consistency"], "Set model.augmentation_consistency: true."),
        (
            [
                *("snd", "--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", f"{PREFIX}snd"),
                *("--trainer.callbacks.mode", "min"),
            ],
            "EarlyStopping keeps what is smallest",
        ),
    ],
)
def test_a_monitor_that_would_choose_the_worst_is_refused(
    options: list[str], message: str, unlabelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score, *others = options
    monitor = ["--checkpoint.monitor", f"{PREFIX}{score}"]
    error = refused(capsys, "fit", "--config", str(unlabelled), "--run", "a", *monitor, *others)
    assert message in " ".join(error.split())


def test_what_a_score_lacks_is_said(unlabelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = tiny.make_segmenter(None)
    data = CrossDomainDataModule(target="target", classes=segmenter.classes, workers=0)
    assert set(_lacking(data, segmenter)) == {"class_prior", "augmentation_consistency", "teacher_agreement"}
    assert "source/val has no labels" in _lacking(data, segmenter)["class_prior"]
    monkeypatch.setattr(data, "_rank_and_world_size", lambda: (0, 6))  # for five images
    assert "at least one for each device in target/val" in _lacking(data, segmenter)["snd"]
    nothing = CrossDomainDataModule(SyntheticStreets(train=1, val=1, test=0), workers=0)
    assert _lacking(nothing, segmenter)["snd"].endswith("Set data.init_args.target.")


def test_labels_tell_the_regret_of_each_score_over_a_resume(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ["fit", "--config", str(config), "--run", "a", *EVERY_STEP, "--model.optimizer.lr", "0.02"]
    main([*fit, "--trainer.max_steps", "2"])
    capsys.readouterr()
    main([*fit, "--trainer.max_steps", "4", "--ckpt_path", "last"])
    shown = capsys.readouterr().out
    found, rows = curves(Path("runs/a")), table(Path("runs/a/selection.csv"))
    target = found["val/target/miou"]
    assert len(target) == 4 and len(set(target)) > 1
    assert set(rows) == {
        *("last", "val/source/miou"),
        *(f"{PREFIX}{name}" for name in SCORES - {"augmentation_consistency", "teacher_agreement"}),
    }
    for name, row in rows.items():
        values = np.arange(4) if name == "last" else np.array(found[name])
        smaller = name.endswith(("entropy", "class_prior"))
        place = int(np.argmin(values) if smaller else np.argmax(values))
        assert (row["mode"], int(row["step"])) == ("min" if smaller else "max", place + 1)
        assert float(row["target_miou"]) == pytest.approx(target[place], abs=1e-6)
        assert float(row["regret"]) == pytest.approx(max(target) - target[place], abs=1e-6)
        assert int(row["best_step"]) == 1 + int(np.argmax(target))
    assert f"4 validations, the best has {100 * max(target):.1f} %" in shown
    regret = 100 * float(rows[f"{PREFIX}snd"]["regret"])
    line = next(line for line in shown.splitlines() if "snd" in line and "│" in line)
    assert [cell.strip() for cell in line.split("│")][-2] == f"{regret:.1f}"

"""Negative transfer: what is compared with what, what is said and when, and what is refused at the start."""

import csv
import logging
import shutil
import warnings
from pathlib import Path

import pytest
import yaml
from refusals import refused

from lightning_app.cli import main
from lightning_app.source_only_run import SourceOnlyRun

EVERY_STEP = ["--trainer.val_check_interval", "1", "--trainer.check_val_every_n_epoch", "null"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Filled by the first test that trains on the source: it is the same for all."""
    return {}


@pytest.fixture
def config(config: Path) -> Path:
    """The tiny config with an encoder whose checkpoints are small."""
    config.write_text(config.read_text().replace("encoder: resnet18", "encoder: tu-test_resnet"))
    return config


@pytest.fixture
def source(config: Path, trained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a source-only run, ``runs/source``, of three steps with a validation after each."""
    folder = Path("runs/source")
    if not trained:
        main(["fit", "--config", str(config), "--run", "source", *EVERY_STEP])
        trained["source"] = tmp_path_factory.mktemp("trained") / "source"
        shutil.copytree(folder, trained["source"])
    elif not folder.exists():
        shutil.copytree(trained["source"], folder)
    return folder


def rows(folder: Path, name: str) -> list[tuple[int, float]]:
    """The steps and values of a metric."""
    with next((folder / "metrics").rglob("metrics.csv")).open(newline="") as file:
        return [(int(row["step"]), float(row[name])) for row in csv.DictReader(file) if row.get(name)]


def pretend(folder: Path, miou: float) -> None:
    """Gives a run another mIoU of the target."""
    lines = (folder / "fit.csv").read_text().splitlines()
    lines = [f"target,mIoU,{miou}" if line.startswith("target,mIoU,") else line for line in lines]
    (folder / "fit.csv").write_text("\n".join(lines))


def fit(config: Path, run: str, *options: str) -> list[str]:
    """Trains, and returns the warnings about transfer."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        main(["fit", "--config", str(config), "--run", run, *EVERY_STEP, *options])
    return [str(one.message) for one in caught if "NEGATIVE" in str(one.message)]


def test_a_target_below_source_only_is_said_once_and_at_the_end(
    config: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(source, 0.9)
    capsys.readouterr()
    method = ["--model.strategy", "EntropyMinimization"]
    said = fit(config, "below", *method, "--source_only", "runs/source")
    scores = rows(Path("runs/below"), "val/target/miou")
    assert [step for step, _ in scores] == [0, 1, 2]
    first, last = (f"NEGATIVE TRANSFER: val/target/miou is {100 * scores[at][1]:.2f} %" for at in (0, -1))
    reached = "source-only reached 90.00 % (runs/source, step 3)"
    assert len(said) == 1
    assert said[0].startswith(f"{first}, {reached} (now at step 1). If it stays so, keep the source-only network")
    shown = capsys.readouterr().out
    assert f"{last}, {reached}\n" in shown and shown.index("last validation") < shown.index(last)
    differences = rows(Path("runs/below"), "val/target/over_source_only")
    assert differences == [(step, pytest.approx(miou - 0.9, abs=1e-6)) for step, miou in scores]


def test_the_run_that_the_weights_come_from_is_compared_with_by_itself(
    config: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(source, 0.0)
    capsys.readouterr()
    said = fit(config, "above", "--model.init_from", "runs/source/checkpoints/last.ckpt")
    assert said == []
    (_, last), *_ = reversed(rows(Path("runs/above"), "val/target/miou"))
    shown = capsys.readouterr().out
    assert f"\nval/target/miou is {100 * last:.2f} %, source-only reached 0.00 % (runs/source, step 3)\n" in shown
    assert rows(Path("runs/above"), "val/target/over_source_only")[-1] == (2, pytest.approx(last, abs=1e-6))


def test_each_fall_below_a_number_is_said_once(config: Path) -> None:
    """At this learning rate the target rises in the second step, falls in the third and stays there."""
    fast = ["--model.optimizer", "AdamW", "--model.optimizer.lr", "0.1", "--trainer.max_steps", "6"]
    said = fit(config, "fast", *fast, "--source_only", "0.1")
    below = [miou < 0.1 for _, miou in rows(Path("runs/fast"), "val/target/miou")]
    assert below == [True, False, True, True, True, True]
    assert ["(now at step 1)" in said[0], "(now at step 3)" in said[1]] == [True, True] and len(said) == 2
    assert "source-only reached 10.00 % (now" in said[0]


def test_without_a_source_only_run_nothing_is_compared(config: Path, source: Path) -> None:
    """A fine-tuned network is not source-only; where a run is named, a note says that it is another strategy's."""
    record = yaml.safe_load((source / "config.yaml").read_text())
    record["model"]["strategy"]["class_path"] = "strategies.FineTune"
    (source / "config.yaml").write_text(yaml.safe_dump(record))
    pretend(source, 0.9)
    start = ["--model.init_from", "runs/source/checkpoints/last.ckpt", "--trainer.max_steps", "1"]
    assert fit(config, "from", *start) == []
    assert rows(Path("runs/from"), "val/target/over_source_only") == []
    pretend(source, 0.0)
    with pytest.warns(UserWarning, match="runs/source was trained by FineTune and not by SourceOnly"):
        main(["fit", "--config", str(config), "--run", "named", *start, *EVERY_STEP, "--source_only", "source"])


def test_a_run_that_cannot_be_compared_with_is_refused_at_the_start(
    config: Path, source: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def refusal(reference: str, *options: str) -> str:
        return refused(capsys, "fit", "--config", str(config), "--run", "x", *options, "--source_only", reference)

    assert "runs/sorce is no run's folder: it has no config.yaml" in refusal("sorce")
    assert "--source_only 24.6 is no mIoU in [0, 1]: for 24.6 % give 0.246" in refusal("24.6")
    fog = ["--data.target.init_args.look", "fog"]
    assert "other target images, 2 of them and here 2" in refusal("source", *fog)
    (source / "fit.csv").write_text((source / "fit.csv").read_text().replace("IoU sky", "IoU cloud"))
    assert "was scored on the classes " in refusal("source") and not Path("runs/x/config.yaml").exists()
    # Nobody asked for this run to be compared with, so it is left out.
    with caplog.at_level(logging.INFO):
        start = ["--model.init_from", "runs/source/checkpoints/last.ckpt", "--trainer.max_steps", "1"]
        assert fit(config, "unasked", *start) == []
    assert "No guard against negative transfer: runs/source was scored on the classes" in caplog.text


def test_a_run_without_a_score_of_the_target_is_refused(source: Path) -> None:
    lines = (source / "fit.csv").read_text().splitlines()
    (source / "fit.csv").write_text("\n".join(line for line in lines if not line.startswith("target")))
    with pytest.raises(ValueError, match=r"runs/source/fit\.csv has no mIoU of the target"):
        SourceOnlyRun.read(source)
    (source / "fit.csv").unlink()
    with pytest.raises(ValueError, match=r"runs/source has no fit\.csv: its fit did not reach its end"):
        SourceOnlyRun.read(source)


def test_the_step_is_the_last_validations_of_a_resumed_run(source: Path) -> None:
    for version, step in (("version_2", 40), ("version_10", 90), ("version_9", 70)):
        (source / "metrics" / version).mkdir()
        table = f"step,train/loss/total,val/target/miou\n{step},,0.2\n{step + 5},0.4,\n"
        (source / "metrics" / version / "metrics.csv").write_text(table)
    assert SourceOnlyRun.read(source).step == 91
    (source / "metrics" / "version_11").mkdir()
    (source / "metrics" / "version_11" / "metrics.csv").write_text("step,val/target/miou\n0,0.2\n")
    assert SourceOnlyRun.read(source).step == 91, "lightning validate writes into the same folder"
    shutil.rmtree(source / "metrics")
    assert SourceOnlyRun.read(source).step is None


def test_a_target_that_is_described_otherwise_is_noted(config: Path, source: Path) -> None:
    """The same names are not always the same images."""
    larger = ["--data.target.init_args.size", "[32, 64]", "--trainer.max_steps", "1"]
    with pytest.warns(UserWarning, match=r"runs/source/config\.yaml describes the target in another way"):
        main(["fit", "--config", str(config), "--run", "larger", *larger, *EVERY_STEP, "--source_only", "source"])

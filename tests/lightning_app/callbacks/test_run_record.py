"""A run that is interrupted and resumed: what it leaves in its folder, and what it says where there is no terminal."""

import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Callback

from datamodules import SyntheticStreets
from lightning_app.callbacks.run_record import RunRecord
from lightning_app.callbacks.run_table import RunTable
from lightning_app.callbacks.throughput import Throughput
from lightning_app.cli import main
from lightning_app.provenance import data_fingerprint, git_state
from strategies import SourceOnly


class Interruption(Callback):
    """Keeps ``run.json`` as it is in mid-run, and asks to stop, once."""

    during: dict[str, Any] | None = None

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: object) -> None:
        if trainer.global_step == 4 and Interruption.during is None:
            Interruption.during = json.loads(Path("runs/x/run.json").read_text())
            pl_module.stop_wanted = True  # as Ctrl-C does


@dataclass
class Parts:
    folder: Path
    during: dict[str, Any]
    stopped: dict[str, Any]
    resumed: dict[str, Any]
    said: str
    said_by_resumed: str


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    here = tmp_path_factory.mktemp("record")
    streets = {"class_path": "SyntheticStreets", "init_args": {"size": [32, 48], "train": 6, "val": 2, "test": 2}}
    strategy = {"class_path": "MaskedConsistency", "init_args": {"block": 8, "base": {"class_path": "ClassMix"}}}
    trainer = {"accelerator": "cpu", "devices": 1, "max_steps": 6, "num_sanity_val_steps": 0, "log_every_n_steps": 2}
    validation = {"val_check_interval": 6, "check_val_every_n_epoch": None, "accumulate_grad_batches": 2}
    network = {"encoder_depth": 3, "decoder_pyramid_channels": 32, "decoder_segmentation_channels": 32}
    content = {
        "trainer": {**trainer, **validation, "callbacks": [{"class_path": f"{__name__}.Interruption"}]},
        "model": {"architecture": "FPN", "encoder": "resnet18", "options": network, "strategy": strategy},
        "data": {
            "class_path": "CrossDomainDataModule",
            "init_args": {
                "source": streets,
                "target": {**streets, "init_args": {**streets["init_args"], "look": "dusk"}},
                **{"crop": [32, 32], "scale": [1.0, 1.0], "batch_size": 2, "workers": 0, "steps_per_epoch": 12},
            },
        },
    }
    (here / "config.yaml").write_text(yaml.safe_dump(content))
    before, path, said = Path.cwd(), list(sys.path), [io.StringIO(), io.StringIO()]
    os.chdir(here)
    try:
        with redirect_stdout(said[0]), pytest.raises(SystemExit):
            main(["fit", "--config", "config.yaml", "--run", "x"])
        stopped = json.loads(Path("runs/x/run.json").read_text())
        # A logger of the user's own does not take the place of what the run's folder holds.
        silent = ["--trainer.enable_progress_bar", "false", "--trainer.logger", "CSVLogger"]
        silent += ["--trainer.logger.save_dir", "."]
        with redirect_stdout(said[1]):
            main(["fit", "--config", "config.yaml", "--run", "x", "--ckpt_path", "last", *silent])
        resumed = json.loads(Path("runs/x/run.json").read_text())
    finally:
        os.chdir(before)
        sys.path[:] = path
        os.environ.pop("PL_GLOBAL_SEED", None)
    assert Interruption.during is not None
    yield Parts(here / "runs/x", Interruption.during, stopped, resumed, said[0].getvalue(), said[1].getvalue())


def test_it_tells_what_the_run_is(parts: Parts) -> None:
    run = parts.resumed
    assert (run["format"], run["strategy"], run["seed"]) == (1, "MaskedConsistency(ClassMix)", 0)
    assert (run["source"], run["target"], run["classes"]) == ("simulator", "dusk", list(SyntheticStreets.classes))
    assert (run["max_steps"], run["labels_used"], run["precision"], run["world_size"]) == (6, 0, "32-true", 1)
    assert run["batch"] == {"source": 4, "target": 4}
    # The teacher is a copy of the network that does not train.
    assert run["parameters"] == 2 * run["trainable_parameters"] > 0
    assert run["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert run["hardware"]["devices"] == ["cpu"] and run["hardware"]["memory_gib"] > 0.5
    assert run["command"][:4] == ["lightning", "fit", "--config", "config.yaml"]


def test_its_data_can_be_told_from_other_data(parts: Parts, make_data: Any) -> None:
    names = "".join(f"simulator_train_{number:04d}\n" for number in range(6))
    data = parts.resumed["data"]
    assert data["source"]["train"] == {"images": 6, "sha256": hashlib.sha256(names.encode()).hexdigest()}
    assert data["target"]["val"]["images"] == 2
    assert data["labelled_target"]["images"] == 0

    def label_maps(rules: dict[str, str]) -> Any:
        streets = SyntheticStreets(look="dusk")
        streets.label_map = rules
        return data_fingerprint(make_data(target=streets, classes=list(SyntheticStreets.classes)))["label_map"]

    assert label_maps({})["target"] == label_maps({})["source"] == data["label_map"]["target"]
    assert label_maps({"car": "ignore"})["target"] != data["label_map"]["target"]
    assert label_maps({"car": "ignore"})["source"] == data["label_map"]["source"]


def test_it_is_up_to_date_while_the_run_goes_on_and_when_it_was_interrupted(parts: Parts) -> None:
    assert (parts.during["steps"], parts.during["ended"]) == (3, None)
    assert parts.stopped["steps"] == 5
    times = [parts.stopped["started"], parts.stopped["ended"], parts.resumed["ended"]]
    assert sorted(times, key=datetime.fromisoformat) == times
    assert sorted(path.name for path in parts.folder.glob("run*")) == ["run.json"]


def test_a_resumed_run_goes_on_counting(parts: Parts) -> None:
    assert parts.resumed["steps"] == 6
    assert parts.resumed["started"] == parts.stopped["started"] == parts.during["started"]
    assert parts.resumed["seconds"] >= parts.stopped["seconds"] >= parts.during["seconds"] > 0
    counted = torch.load(parts.folder / "checkpoints/last.ckpt", weights_only=True)["callbacks"]["Throughput"]
    assert counted["images"] == 6 * (4 + 4)
    assert parts.resumed["images_per_second"] == pytest.approx(48 / counted["training_seconds"], rel=1e-3)
    assert parts.resumed["seconds"] >= counted["training_seconds"] - 0.1


def test_the_curves_hold_the_throughput(parts: Parts) -> None:
    rows: list[dict[str, str]] = []
    for version in (0, 1):
        with (parts.folder / f"metrics/version_{version}/metrics.csv").open(newline="") as file:
            rows += csv.DictReader(file)
    measured = {int(row["step"]) + 1: row for row in rows if row["train/images_per_second"]}
    assert list(measured) == [2, 4, 6]
    assert all(row["train/loss/total"] and float(row["train/images_per_second"]) > 0 for row in measured.values())
    assert all(100 < float(row["train/memory_mib"]) < 2**20 for row in measured.values())


def test_the_loggers_get_it_with_the_config(parts: Parts) -> None:
    sent = yaml.safe_load((parts.folder / "metrics/version_0/hparams.yaml").read_text())
    assert sent["record"]["strategy"] == "MaskedConsistency(ClassMix)"
    assert sent["record"]["data"] == parts.resumed["data"]
    assert sent["trainer"]["log_every_n_steps"] == 2
    assert "seconds" not in sent["record"]  # nothing is known of it yet


def test_a_file_gets_plain_lines(parts: Parts) -> None:
    lines = parts.said.splitlines()
    assert "\r" not in parts.said and "\x1b" not in parts.said
    first, second = (next(line for line in lines if line.startswith(f"step {step} of 6: loss")) for step in (2, 4))
    assert re.fullmatch(r"step 2 of 6: loss \d+\.\d{4}, images/s \d+\.\d, left \d:\d\d:\d\d", first)
    with (parts.folder / "metrics/version_0/metrics.csv").open() as file:
        logged = next(float(row["train/loss/total"]) for row in csv.DictReader(file) if row["train/loss/total"])
    assert f"loss {logged:.4f}" in first
    validated = next(line for line in lines if line.startswith("step 3 of 6: mIoU"))
    miou = re.search(r"target (\d+\.\d %)", validated)
    assert miou is not None and f"target mIoU {miou[1]}" in second
    assert not [line for line in parts.said_by_resumed.splitlines() if line.startswith("step ")]


def test_tables_tell_what_the_run_is_made_of_and_what_it_came_to(parts: Parts) -> None:
    def rows(said: str) -> dict[str, str]:
        cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines()]
        return {row[0]: row[1] for row in cells if len(row) == 2}

    start, resumed = rows(parts.said), rows(parts.said_by_resumed)
    assert start["strategy"] == "MaskedConsistency(ClassMix)"
    assert start["domains"] == "simulator → dusk"
    assert start["target images"] == "6 train, 2 val, 2 test"
    assert start["images a step"] == "4 source + 4 target"
    assert (start["steps"], resumed["steps"]) == ("6", "6, of which 5 are done")
    assert "best checkpoint" not in start
    assert resumed["best checkpoint"].startswith("runs/x/checkpoints/best.ckpt (val/source/miou 0.")
    assert resumed["time"].endswith("for 6 steps")


def test_a_file_that_cannot_be_written_is_said_once_and_ends_nothing(
    tmp_path: Path, make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    (tmp_path / "run.json").mkdir()
    throughput = Throughput()
    record = RunRecord(tmp_path, "{}", [], throughput)
    make_trainer(callbacks=[record, RunTable(record)], limit_train_batches=0).fit(
        make_segmenter(SourceOnly()), make_data()
    )
    assert not record.noted, "a run that was at its end has nothing to tell"
    settings = {"max_steps": 2, "val_check_interval": 1, "check_val_every_n_epoch": None}
    with pytest.warns(UserWarning, match="run.json cannot be written") as said:
        make_trainer(callbacks=[throughput, record], **settings).fit(make_segmenter(SourceOnly()), make_data(workers=0))
    assert sum("run.json" in str(one.message) for one in said) == 1
    assert record.noted["steps"] == 2 and record.noted["ended"]


def test_git_is_asked_where_there_is_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() is None
    (tmp_path / "file").write_text("one")
    identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "file"], [*identity, "commit", "-q", "-m", "message"]):
        subprocess.run(["git", *command], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert git_state() == {"commit": head, "dirty": False}
    (tmp_path / "file").write_text("two")
    assert git_state() == {"commit": head, "dirty": True}
    monkeypatch.setenv("PATH", "")
    assert git_state() is None

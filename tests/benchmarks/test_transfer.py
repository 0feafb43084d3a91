"""The benchmark of the scores of ``lightning rank``: it goes on where it was stopped, and its tables."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy.stats import weightedtau
from tiny import NETWORK

from benchmarks import accuracy, transfer
from benchmarks.accuracy_methods import METHODS, PAIRS, Pair
from benchmarks.transfer import REAL, STARTS, SYNTHETIC, Start, main
from lightning_app.commands.rank import main as rank_candidates

SMALL = {
    "random": STARTS["random"],
    "another encoder": Start("encoder:tu-test_efficientnet=null"),
    "source of the other pair": STARTS["source of the other pair"],
}


@pytest.fixture
def tiny_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pairs of generated streets, and three starts."""
    monkeypatch.chdir(tmp_path)
    pairs = {}
    for name, look in (("one", "dusk"), ("two", "fog")):
        streets = {"class_path": "SyntheticStreets", "init_args": {"size": [32, 48], "train": 4, "val": 1, "test": 1}}
        target = {**streets, "init_args": {**streets["init_args"], "look": look}}
        data: dict[str, Any] = {"source": streets, "target": target, "crop": [32, 32], "batch_size": 2, "workers": 0}
        trainer = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
        settings = {"trainer": trainer, "model": NETWORK, "data": {"init_args": data}}
        Path(f"{name}.yaml").write_text(yaml.safe_dump(settings))
        pairs[name] = Pair(f"{name}.yaml", ".", small=("--data.scale", "[1.0, 1.0]"), full=())
    for module in (accuracy, transfer):
        monkeypatch.setattr(module, "PAIRS", pairs)
    monkeypatch.setattr(transfer, "REAL", ("one", "two"))
    monkeypatch.setattr(transfer, "STARTS", SMALL)
    return tmp_path / "rows.csv"


def measured(path: Path, *options: str) -> list[dict[str, str]]:
    common = ["--pairs", "one", "--steps", "2", "--labels", "2", "--source_steps", "1", "--results", f"{path}"]
    main([*common, *options])
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_goes_on_where_it_was_stopped(
    tiny_pairs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = measured(tiny_pairs)
    assert [row["start"] for row in rows] == list(SMALL)
    assert [bool(row["LEEP"]) for row in rows] == [False, False, True]
    assert "--model.init_from runs/accuracy/1_steps/two/SourceOnly/seed0/checkpoints/last.ckpt" in rows[2]["command"]
    assert "--model.encoder_weights null" in rows[0]["command"]
    # What the runs left says the same.
    spelled = [start.what for start in SMALL.values()]
    spelled[2] = "runs/accuracy/1_steps/two/SourceOnly/seed0"
    rank = ["rank", "--config", "one.yaml", "--data.labels", "2", "--runs", "runs/transfer", "--report", "held.json"]
    rank_candidates([*rank, "--candidates", *spelled])
    held = json.loads(Path("held.json").read_text())
    assert held["results"] == "test images, FineTune, target labels: 2, steps: 2" and not held["notes"][1:]
    reached = {one["name"]: one["target_miou"] for one in held["candidates"]}
    assert [reached[name] for name in spelled] == pytest.approx(
        [float(row["target_test_miou"]) for row in rows], abs=5e-5
    )
    # A lost row is measured again, and no other.
    tiny_pairs.write_text("".join(tiny_pairs.read_text().splitlines(keepends=True)[:3]))
    again = measured(tiny_pairs)
    assert again == rows
    capsys.readouterr()
    assert measured(tiny_pairs, "--show") == rows
    shown = " ".join(capsys.readouterr().out.split())
    tau = weightedtau([float(row["GBC"]) for row in rows], [float(row["target_test_miou"]) for row in rows]).statistic
    assert f"{tau:.2f}" in shown.partition("weighted τ")[2]


def test_the_starts_are_rows_of_the_accuracies() -> None:
    assert len(STARTS) >= 6 and {*REAL, SYNTHETIC} <= set(PAIRS)
    assert all(start.what in METHODS for start in STARTS.values() if start.of is not None)


def test_a_mistyped_pair_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--pairs", "camvid"])
    assert "there is no pair 'camvid'; the pairs are camvid_day2dusk" in capsys.readouterr().err

"""The benchmark of scores that choose without target labels: its arithmetic, and which runs it reads."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import NETWORK

from benchmarks import accuracy, selection
from benchmarks.accuracy_methods import CONTINUED, LOWER, Pair
from benchmarks.selection import SCORES, Checkpoint, between_methods, main, read, regrets, within_runs


def checkpoint(method: str, seed: int, step: int, target: float, **scores: float) -> Checkpoint:
    return Checkpoint("pair", method, seed, 30, step, target, {"source_miou": 0.5, "entropy": 0.3, **scores})


FIRST = [
    checkpoint(CONTINUED, 0, 10, 0.2, entropy=0.4, snd=5),
    checkpoint(CONTINUED, 0, 20, 0.5, entropy=0.2, snd=4),
    checkpoint(CONTINUED, 0, 30, 0.3, entropy=0.1, snd=3),
]
SECOND = [
    checkpoint("ClassMix", 0, 10, 0.1, entropy=0.2, source_miou=0.7, teacher_agreement=0.9),
    checkpoint("ClassMix", 0, 30, 0.6, entropy=0.05, source_miou=0.6, teacher_agreement=0.8),
]


def test_the_regret_of_a_score_is_what_its_choice_lacks() -> None:
    assert regrets([FIRST]) == pytest.approx(
        # The source's mIoU is equal everywhere, and the first of equal ones is kept.
        {"source_miou": 0.3, "entropy": 0.2, "snd": 0.3, "last": 0.2, "chance": 0.5 - 1 / 3}
    )
    assert regrets([SECOND])["teacher_agreement"] == pytest.approx(0.5)
    # What one of them has not cannot choose in both.
    assert regrets([FIRST, SECOND]) == pytest.approx(
        {"source_miou": 0.4, "entropy": 0.1, "last": 0.1, "chance": (0.5 - 1 / 3 + 0.25) / 2}
    )


def cells(shown: Any) -> list[dict[str, str]]:
    columns = {str(column.header): list(column.cells) for column in shown.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_tables_are_by_method_and_between_methods_by_the_last_checkpoints() -> None:
    rows = cells(within_runs("pair", [*SECOND, *reversed(FIRST)]))
    assert [(row["method"], row["seeds"], row["best"], row["entropy"]) for row in rows] == [
        (CONTINUED, "1", "50.0", "20.0"),
        ("ClassMix", "1", "60.0", "0.0"),
        ("all", "2", "55.0", "10.0"),
    ]
    assert rows[0]["teacher_agreement"] == "–" and rows[1]["teacher_agreement"] == "50.0"
    # The last ones have 0.3 and 0.6; a second seed of one method alone is no choice yet.
    [row] = cells(between_methods([*FIRST, *SECOND, checkpoint(CONTINUED, 1, 30, 0.9)]))
    assert (row["pair"], row["seeds"], row["methods"], row["best"]) == ("pair", "1", "2", "60.0")
    assert (row["source_miou"], row["entropy"], row["snd"], row["chance"]) == ("0.0", "0.0", "–", "15.0")


def test_it_keeps_the_curves_of_the_runs_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    streets = {"class_path": "SyntheticStreets", "init_args": {"size": [32, 48], "train": 4, "val": 1, "test": 1}}
    data: dict[str, Any] = {"source": streets, "target": streets, "crop": [32, 32], "workers": 0}
    trainer = {"accelerator": "cpu", "enable_progress_bar": False, "log_every_n_steps": 1}
    Path("tiny.yaml").write_text(yaml.safe_dump({"trainer": trainer, "model": NETWORK, "data": {"init_args": data}}))
    for module in (accuracy, selection):
        monkeypatch.setattr(module, "PAIRS", {"tiny": Pair("tiny.yaml", None, small=(), full=())})
    results = tmp_path / "curves.csv"
    options = ["--steps", "6", "--results", str(results)]
    with pytest.raises(SystemExit):
        main(options)
    assert "no validated run in runs/accuracy" in capsys.readouterr().err

    measured = accuracy.measure("tiny", CONTINUED, 0, 6, Path("runs/accuracy"))
    main(options)
    found = read(results, 6)
    assert [(one.method, one.step) for one in found] == [
        (method, step) for method in (LOWER, CONTINUED) for step in range(1, 7)
    ]
    assert set(found[0].scores) == set(SCORES) - {"teacher_agreement"}
    assert found[-1].target_miou == pytest.approx(measured.target_val_miou, abs=1e-4)
    assert f"| {CONTINUED} | 1 " in " ".join(capsys.readouterr().out.split())

    # Without the runs the file is what there is.
    shutil.rmtree("runs")
    with results.open("a") as file:
        file.write(results.read_text().splitlines()[-1].replace(",0,6,", ",0,3,") + "\n")
    main(options)
    assert read(results, 6) == found
    assert [one.steps for one in read(results, 3)] == [3], "runs of other lengths stay in the file"

"""The table of accuracies: its arithmetic, its order, and that it goes on where it was stopped."""

import shutil
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml
from jsonargparse import ArgumentParser
from tiny import NETWORK

from benchmarks import accuracy
from benchmarks.accuracy import Row, main, plan, read_rows, table
from benchmarks.accuracy_methods import (
    ALONE,
    CONTINUED,
    FEW,
    LOWER,
    METHODS,
    PAIRS,
    UPPER,
    WEAK,
    Method,
    Pair,
    strategy,
)
from datamodules import CrossDomainDataModule
from lightning_app.inference import Windows
from strategies import Strategy


def row(method: str, seed: int, target: float, pair: str = "pair", validated: float = 0.0) -> Row:
    return Row(pair, method, seed, 10, 0, validated, 0.5, target, "lightning fit")


def test_every_method_gets_a_seed_and_the_best_four_without_labels_all_by_validation() -> None:
    rows: list[Row] = []
    runs = []
    for pair, method, seed in plan(["one", "two"], rows, seeds=2, everywhere=False):
        runs.append((pair, method, seed))
        # The test images would choose the others.
        place = list(METHODS).index(method) / 100
        rows.append(row(method, seed, 1 - place, pair, validated=place))
    assert runs[: len(METHODS)] == [("one", method, 0) for method in METHODS]
    best = list(METHODS)[-4:]
    chosen = (*ALONE, UPPER, *FEW, *best)
    assert runs[2 * len(METHODS) :] == [(pair, method, 1) for pair in ("one", "two") for method in chosen]
    assert len(list(plan(["one"], rows, seeds=3, everywhere=True))) == 3 * len(METHODS)


def test_a_method_is_shown_over_the_best_of_the_source_only_rows() -> None:
    rows = [
        row(LOWER, 0, 0.2),
        row(WEAK, 0, 0.25),
        row(CONTINUED, 0, 0.22),
        row(UPPER, 0, 0.6),
        row("ClassMix", 0, 0.4),
    ]
    shown = table("pair", rows, 10)
    cells = {
        name: list(column.cells)
        for name, column in zip(
            ("method", "gap", "over"), (shown.columns[0], shown.columns[-2], shown.columns[-1]), strict=True
        )
    }
    assert dict(zip(cells["method"], cells["over"], strict=True)) == {
        LOWER: "-5.0",
        WEAK: "+0.0",
        CONTINUED: "-3.0",
        UPPER: "+35.0",
        "ClassMix": "+15.0",
    }
    assert dict(zip(cells["method"], cells["gap"], strict=True))["ClassMix"] == "0.50"


def test_differences_are_taken_over_the_seeds_in_common() -> None:
    rows = [*(row(LOWER, seed, 0.2 + seed / 100) for seed in range(3)), *(row(UPPER, seed, 0.6) for seed in (0, 1))]
    rows += [row("ClassMix", 1, 0.405), row("FourierStyle", 2, 0.5)]
    shown = table("pair", rows, 10)
    methods, gaps, over = ([str(cell) for cell in shown.columns[place].cells] for place in (0, -2, -1))
    # 0.405 between 0.21 and 0.6, all of seed 1; nobody fine-tuned with seed 2.
    assert dict(zip(methods, gaps, strict=True)) == {
        LOWER: "0.00",
        UPPER: "1.00",
        "FourierStyle": "–",
        "ClassMix": "0.50",
    }
    assert dict(zip(methods, over, strict=True)) == {
        LOWER: "+0.0",
        UPPER: "+39.5",
        "FourierStyle": "+28.0",
        "ClassMix": "+19.5",
    }


def test_all_seeds_of_the_bounds_tell_whether_there_is_a_gap() -> None:
    def gap(upper: float) -> str:
        rows = [row(LOWER, seed, value) for seed, value in enumerate((0.3, 0.4, 0.35))]  # a deviation of 0.05
        rows += [row(UPPER, seed, upper) for seed in range(3)]
        rows += [row("ClassMix", seed, 0.41) for seed in (0, 1)]  # where it is 0.07
        return str(list(table("pair", rows, 10).columns[-2].cells)[-1])

    assert gap(0.47) == "0.50"
    assert gap(0.44) == "no gap"


def test_a_nested_strategy_is_spelled_out() -> None:
    assert strategy("Outer(Inner(Base))", "block=16", "base.beta=0.1") == (
        *("--model.strategy", "Outer", "--model.strategy.base", "Inner", "--model.strategy.base.base", "Base"),
        *("--model.strategy.block", "16", "--model.strategy.base.beta", "0.1"),
    )


@pytest.mark.parametrize("pair", PAIRS)
def test_every_row_can_be_typed(pair: str) -> None:
    """Its strategy and its data, as the command line takes them."""
    parser = ArgumentParser()
    parser.add_argument("--model.strategy", type=Strategy)
    parser.add_argument("--model.windows", type=Windows | None)
    parser.add_subclass_arguments(CrossDomainDataModule, "data")
    for method in METHODS.values():
        options = (*PAIRS[pair].small, *method.options)
        words = [Template(word).substitute(eighth=10, quarter=20, **PAIRS[pair].told) for word in options]
        settings = [f"{key}={value}" for key, value in zip(words[::2], words[1::2], strict=True)]
        made = parser.instantiate_classes(parser.parse_args(["--data=CrossDomainDataModule", *settings]))
        assert isinstance(made.model.strategy, Strategy)


@pytest.fixture
def tiny_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pair of generated streets, and the two bounds alone."""
    monkeypatch.chdir(tmp_path)
    streets = {"class_path": "SyntheticStreets", "init_args": {"size": [32, 48], "train": 4, "val": 1, "test": 1}}
    data: dict[str, Any] = {"source": streets, "target": streets, "crop": [32, 32], "batch_size": 2, "workers": 0}
    trainer = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    Path("tiny.yaml").write_text(yaml.safe_dump({"trainer": trainer, "model": NETWORK, "data": {"init_args": data}}))
    monkeypatch.setattr(accuracy, "PAIRS", {"tiny": Pair("tiny.yaml", ".", small=(), full=("--data.crop", "[32, 48]"))})
    monkeypatch.setattr(accuracy, "METHODS", {name: METHODS[name] for name in (LOWER, UPPER)})
    return tmp_path / "rows.csv"


def measured(path: Path, steps: int) -> list[tuple[str, int, int]]:
    main(["--pairs", "tiny", "--steps", f"{steps}", "--seeds", "1", "--results", str(path)])
    return [(one.method, one.steps, one.target_labels) for one in read_rows(path, steps)]


def test_it_goes_on_where_it_was_stopped(
    tiny_pair: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    upper = METHODS[UPPER]
    monkeypatch.setitem(accuracy.METHODS, UPPER, Method((*upper.options, "--data.labels", "99"), from_source=True))
    with pytest.raises(SystemExit):  # there are no 99
        measured(tiny_pair, 2)
    first = read_rows(tiny_pair, 2)
    assert [one.method for one in first] == [LOWER]
    # The rows are there, but a new clone has no runs: the source's network is made again, its row is not.
    shutil.rmtree("runs")
    monkeypatch.setitem(accuracy.METHODS, UPPER, upper)
    assert measured(tiny_pair, 2) == [(LOWER, 2, 0), (UPPER, 2, 4)]
    assert read_rows(tiny_pair, 2)[0] == first[0]
    assert not read_rows(tiny_pair, 1), "runs of other steps are other runs"
    main(["--pairs", "tiny", "--steps", "2", "--show", "--results", str(tiny_pair)])
    assert "| FineTune, all labels | 4 " in " ".join(capsys.readouterr().out.split())


def test_everywhere_means_larger_crops_in_a_table_of_their_own(
    tiny_pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accuracy, "RESULTS", tiny_pair)
    main(["--pairs", "tiny", "--steps", "1", "--seeds", "1", "--everywhere"])
    rows = read_rows(tiny_pair.with_stem("accuracy_full"), 1)
    assert [(one.method, one.seed) for one in rows] == [(LOWER, 0), (UPPER, 0)]
    assert all("--data.crop '[32, 48]'" in one.command for one in rows)
    assert not tiny_pair.exists()


def test_a_mistyped_pair_and_missing_data_are_named(
    tiny_pair: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--pairs", "tinny"])
    assert "there is no pair 'tinny'; the pairs are tiny" in capsys.readouterr().err
    monkeypatch.setitem(accuracy.PAIRS, "tiny", Pair("tiny.yaml", "data/nowhere", (), ()))
    with pytest.raises(SystemExit):
        main(["--pairs", "tiny"])
    assert "there is no folder data/nowhere; tiny.yaml says what is expected" in capsys.readouterr().err

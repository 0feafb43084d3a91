"""Runs read from their folders, sorted and put beside each other."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
import yaml
from refusals import refused
from run_folders import write_run

from lightning_app.compare.comparison import Comparison
from lightning_app.compare.method import Method
from lightning_app.compare.reading import read_run, read_runs
from lightning_app.compare.tables import markdown, write_csv


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five methods, two of one strategy, two seeds each."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(2):
        source = write_run(folder / f"source_{seed}", "SourceOnly", seed, 0.5)
        for level, quality in (("features", 0.5), ("output", 0.65)):
            write_run(folder / f"{level}_{seed}", "AdversarialAlignment", seed, quality, settings={"level": level})
        write_run(folder / "deeper" / f"mix_{seed}", "MaskedConsistency(ClassMix)", seed, 0.7)
        checkpoint = f"{source}/checkpoints/last.ckpt"
        write_run(folder / f"tuned_{seed}", "FineTune", seed, 0.9, "all", labels_used=40, init_from=checkpoint)
    return folder


@pytest.fixture(scope="module")
def comparison(runs: Path) -> Comparison:
    return Comparison(read_runs([runs]))


def target_miou(folder: Path, stage: str = "test") -> float:
    with (folder / f"{stage}.csv").open(newline="") as file:
        rows = {(row["domain"], row["score"]): float(row["value"]) for row in csv.DictReader(file)}
    return rows["target", "mIoU"]


def names(methods: Sequence[Method]) -> list[str]:
    return [method.name for method in methods]


def test_methods_are_runs_that_differ_in_seed_and_folder_alone(comparison: Comparison) -> None:
    assert {method.name: [run.seed for run in method.runs] for method in comparison.methods} == {
        "FineTune": [0, 1],  # though each began from its own seed's checkpoint
        "MaskedConsistency(ClassMix)": [0, 1],
        "AdversarialAlignment (level=output)": [0, 1],
        "AdversarialAlignment (level=features)": [0, 1],
        "SourceOnly": [0, 1],
    }


def test_a_score_that_is_computed_besides_makes_no_other_method(tmp_path: Path) -> None:
    write_run(tmp_path / "older")  # of a time when there was no such setting
    write_run(tmp_path / "with", seed=1)
    config = yaml.safe_load((tmp_path / "with/config.yaml").read_text())
    config["model"]["augmentation_consistency"] = True
    (tmp_path / "with/config.yaml").write_text(yaml.safe_dump(config))
    assert names(Comparison(read_runs([tmp_path])).methods) == ["SourceOnly"]


def test_label_counts_are_never_ranked_together(comparison: Comparison) -> None:
    assert {count: names(methods)[0] for count, methods in comparison.groups.items()} == {
        0: "MaskedConsistency(ClassMix)",
        40: "FineTune",
    }
    assert "FineTune" not in names(comparison.groups[0])
    text = markdown(comparison)
    assert (
        text.index("No target labels")
        < text.index("SourceOnly |")
        < text.index("40 target labels")
        < text.index("| FineTune")
    )


def test_labels_that_came_with_the_weights_count_too(tmp_path: Path) -> None:
    for used in (0, 5):
        write_run(tmp_path / f"{used}", "ClassMix", labels_used=used, quality=0.6 + used / 100)
    assert {count: len(methods) for count, methods in Comparison(read_runs([tmp_path])).groups.items()} == {0: 1, 5: 1}


def test_the_table_holds_means_spreads_and_the_gap(comparison: Comparison, runs: Path, tmp_path: Path) -> None:
    write_csv(comparison, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    mious = {
        name: [target_miou(runs / f"{name}_{seed}") for seed in range(2)] for name in ("source", "output", "tuned")
    }
    row = rows["AdversarialAlignment (level=output)"]
    assert float(row["target_miou"]) == pytest.approx(mean(mious["output"]))
    assert float(row["target_miou_deviation"]) == pytest.approx(stdev(mious["output"]))
    lower, upper = mean(mious["source"]), mean(mious["tuned"])
    assert row["gap_closed"] == f"{(mean(mious['output']) - lower) / (upper - lower):.2f}"
    assert float(row["target_over_baseline"]) == pytest.approx(mean(mious["output"]) - lower)
    assert float(row["over_images_low"]) < float(row["target_over_baseline"]) < float(row["over_images_high"])
    assert (row["target_labels"], float(row["seconds"]), float(row["parameters"])) == ("0", 603.5, 14_300_000)
    assert rows["SourceOnly"]["verdict"] == "baseline"
    write_csv(Comparison(read_runs([runs / "output_0", runs / "output_1"])), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        (alone,) = csv.DictReader(file)
    assert alone["gap_closed"] == alone["verdict"] == "", "not known"
    assert rows["AdversarialAlignment (level=features)"]["verdict"] == "not distinguishable"
    car = "target_iou/Car"
    assert float(row["target_iou_over_baseline/Car"]) == pytest.approx(float(row[car]) - float(rows["SourceOnly"][car]))
    assert f"{100 * mean(mious['output']):.1f} ± {100 * stdev(mious['output']):.1f}" in markdown(comparison)


def test_only_settings_that_differ_are_told(comparison: Comparison) -> None:
    of = dict(zip(names(comparison.methods), comparison.settings["model.strategy.level"], strict=True))
    assert of["AdversarialAlignment (level=output)"] == "output" and of["SourceOnly"] == ""
    assert set(comparison.settings) == {
        *("model.strategy", "model.strategy.base", "model.strategy.level", "model.init_from", "data.labels")
    }
    assert "last.ckpt of SourceOnly" in comparison.settings["model.init_from"][0]
    assert set(comparison.made_by) == {"batch.target"}


def test_another_baseline_can_be_named(runs: Path) -> None:
    found = Comparison(read_runs([runs]), f"{runs}/../{runs.name}/output_1")
    assert found.baseline is not None and found.baseline.name == "AdversarialAlignment (level=output)"
    with pytest.raises(ValueError, match=r"--baseline nowhere is none of the runs"):
        Comparison(read_runs([runs]), "nowhere")


def test_all_runs_are_compared_by_the_same_scores(tmp_path: Path) -> None:
    write_run(tmp_path / "tested")
    write_run(tmp_path / "trained", "EntropyMinimization", stages=("fit", "validate"))
    found = Comparison(read_runs([tmp_path]))
    assert found.stage == "validate"
    tested = next(method for method in found.methods if method.strategy == "SourceOnly")
    assert found.target_miou(tested) == pytest.approx(target_miou(tmp_path / "tested", "validate"))
    assert any("trained has no test scores" in note for note in found.notes)


def test_scores_without_labels_are_none_to_compare_by(tmp_path: Path) -> None:
    """Of a target whose validation images have no masks, a fit leaves label-free scores alone."""
    for name, stages in (("tested", ("fit", "test")), ("trained", ("fit",))):
        fit = write_run(tmp_path / name, stages=stages) / "fit.csv"
        source = [line for line in fit.read_text().splitlines() if not line.startswith("target,")]
        fit.write_text("\n".join([*source, "target,unsupervised/snd,4.5"]))
    assert Comparison(read_runs([tmp_path])).stage == "test"
    # If there are no others, the source's are something.
    assert Comparison(read_runs([tmp_path / "trained"])).stage == "fit"


def test_everything_but_the_config_may_be_missing(tmp_path: Path) -> None:
    write_run(tmp_path / "whole", seed=0)
    bare = write_run(tmp_path / "of old/bare", seed=1)
    for path in bare.iterdir():
        if path.name != "config.yaml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (bare / "run.json").write_text('{"half": ')
    run = read_run(bare)
    missing = {one.what.partition(" ")[0]: one.mend for one in run.missing}
    assert set(missing) == {"run.json", "test.csv", "images_test.csv", "metrics", "pictures/last/panel.json"}
    command = f"lightning test --config '{bare}/config.yaml' --ckpt_path '{bare}/checkpoints/last.ckpt' --run null"
    assert missing["test.csv"] == command
    found = Comparison([run, read_run(tmp_path / "whole")])
    assert "bare" in " ".join(found.notes)
    assert [len(method.runs) for method in found.methods] == [2]
    assert found.methods[0].scores("test", "target") == [target_miou(tmp_path / "whole")]


def test_intervals_are_over_the_same_images_alone(tmp_path: Path) -> None:
    write_run(tmp_path / "one")
    write_run(tmp_path / "two", "EntropyMinimization", names=[f"other_{index}" for index in range(40)])
    found = Comparison(read_runs([tmp_path]))
    difference = found.difference(found.methods[0], found.methods[1])
    assert difference is not None and difference.over_images is None and difference.verdict == "unknown"
    assert any("Other images" in note and str(tmp_path / "two") in note for note in found.notes)


def test_a_resumed_runs_curve_is_one_and_tests_are_no_part_of_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", steps=100)
    columns = "epoch,step,train/loss/total,val/target/miou"
    for version, rows in (("2", "0,89,9.5,\n0,99,9.25,0.75"), ("10", "0,99,9.125,")):
        (run / f"metrics/version_{version}").mkdir()
        (run / f"metrics/version_{version}/metrics.csv").write_text(f"{columns}\n{rows}\n")
    (run / "metrics/version_3").mkdir()
    (run / "metrics/version_3/metrics.csv").write_text("epoch,step,val/target/miou\n0,0,0.5\n")
    curves = read_run(run).curves
    assert curves["train/loss/total"].steps.tolist() == list(range(10, 101, 10))
    assert curves["train/loss/total"].values[-2:].tolist() == [9.5, 9.125]
    assert (curves["val/target/miou"].steps[-1], curves["val/target/miou"].values[-1]) == (100, 0.75)
    assert np.all(curves["val/target/miou"].steps >= 10)


def test_a_long_setting_is_cut_in_the_name_of_a_method(tmp_path: Path) -> None:
    write_run(tmp_path / "one", settings={"transforms": [f"transform_{index}" for index in range(9)]})
    write_run(tmp_path / "two", settings={"transforms": [f"transform_{index}" for index in range(8)]})
    first, second = sorted(method.name for method in Comparison(read_runs([tmp_path])).methods)
    assert first.startswith('SourceOnly (transforms=["transform_0"') and len(first) < 60
    assert second == f"{first} #2", "and no two are called the same"


def test_what_does_not_compare_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "one")
    write_run(tmp_path / "two", classes=["Sky", "Road"])
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.yaml").write_text("wandb_version: 1\n")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.yaml").write_text("model: [\n")
    (tmp_path / "empty").mkdir()
    output = ["--output", str(tmp_path / "page.html")]
    for folders, said in (
        (["one", "two"], ["one", "two", "data.classes", "one pair of domains"]),
        (["foreign"], ["foreign is no run of Segue", "no model and data"]),
        (["broken"], ["broken/config.yaml cannot be read", "leave that run out"]),
        (["empty"], ["empty holds no run", "runs/<name>"]),
        (["nowhere"], ["nowhere does not exist"]),
    ):
        message = refused(capsys, "compare", *(str(tmp_path / name) for name in folders), *output)
        assert all(part in message for part in said), message
    assert not (tmp_path / "page.html").exists()


def test_a_loggers_config_in_a_folder_of_runs_is_passed_by(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for place in (tmp_path / "wandb", run / "wandb"):
        place.mkdir()
        (place / "config.yaml").write_text("wandb_version: 1\n")
    assert [one.name for one in read_runs([tmp_path, run])] == [str(run)]


def test_labels_are_counted_where_no_record_tells(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", labels="all")
    (run / "run.json").unlink()
    assert read_run(run).labels is None
    splits = {"splits": {"target": {"train": ["a", "b", "c"]}}, "labelled_target": ["a", "b"]}
    (run / "splits.yaml").write_text(yaml.safe_dump(splits, sort_keys=False))
    assert read_run(run).labels == 2
    (run / "run.json").write_text(json.dumps({"labels_used": 3}))
    assert read_run(run).labels == 3

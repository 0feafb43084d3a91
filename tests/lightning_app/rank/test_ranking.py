"""The order that scores agree on, and what trainings say of it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from run_folders import write_run
from scipy.stats import kendalltau, weightedtau
from weights_on_disk import make, save_checkpoint

from lightning_app.compare.reading import read_run
from lightning_app.network_spec import NetworkSpec
from lightning_app.rank.candidates import Setup, parse_candidates
from lightning_app.rank.ranking import Entry, Ranking
from lightning_app.rank.report import Report
from lightning_app.rank.results import Results, read_results
from lightning_app.rank.scores import SCORES, Scores


def entry(name: str, *values: float, labels: int = 0) -> Entry:
    """LogME, GBC, H-score, k-NN, and where given LEEP, NCE."""
    scores = dict(zip(SCORES, values, strict=False))
    lacking = {score: "it knows no classes" for score in SCORES if score not in scores}
    return Entry(name, ["--model.init_from", f"a folder/{name}"], Scores(scores, lacking), f"the {name}", labels)


ONE = entry("one", 0.4, -2.0, 3.0, 0.5, -1.0, -1.0, labels=9)
TWO = entry("two", 0.3, -1.0, 2.0, 0.4, -2.0, -1.5)
BARE = entry("bare", 0.1, -3.0, 1.0, 0.3)
RESULTS = {"one": 0.6, "two": 0.5, "bare": 0.55}


def test_all_scores_that_every_candidate_has_vote() -> None:
    ranking = Ranking([BARE, TWO, ONE])
    assert ranking.voting == ["LogME", "GBC", "H-score", "k-NN"]
    assert [one.name for one in ranking.entries] == ["one", "two", "bare"]
    assert ranking.ranks == {"one": 1.25, "two": 1.75, "bare": 3.0}
    assert Ranking([TWO, ONE]).voting == list(SCORES)
    assert ranking.reason == (
        "the one has the best mean rank over LogME, GBC, H-score, k-NN, 1.25 before 1.75; but the two is first by GBC."
    )
    assert Ranking([ONE, BARE]).reason == "the one is first by all of LogME, GBC, H-score, k-NN."


def test_a_draw_is_said_and_decided_by_log_me() -> None:
    ranking = Ranking([entry("one", 0.1, -1.0, 2.0, 0.4), entry("two", 0.3, -2.0, 3.0, 0.2)])
    assert [one.name for one in ranking.entries] == ["two", "one"]
    assert "the two draws with the one at a mean rank of 1.50 and is before it by LogME; but" in ranking.reason
    assert "The scores disagree about the order (mean Kendall τ -0.33)" in str(ranking.caution)
    assert "from the two and from the one" in str(ranking.caution)
    assert Ranking([ONE, BARE]).caution is None


def test_agreement_is_kendalls_over_those_that_have_both() -> None:
    chance = np.random.default_rng(0)
    values = chance.normal(size=(7, 6))
    entries = [entry(f"{i}", *row[: 4 if i < 2 else 6]) for i, row in enumerate(values)]
    results = {f"{i}": float(miou) for i, miou in enumerate(chance.uniform(size=6))}  # not of the last
    ranking = Ranking(entries, results)
    assert ranking.agreement("LogME", "k-NN") == pytest.approx(kendalltau(values[:, 0], values[:, 3]).statistic)
    assert ranking.agreement("GBC", "NCE") == pytest.approx(kendalltau(values[2:, 1], values[2:, 5]).statistic)
    wanted = [kendalltau(values[:, i], values[:, j]).statistic for i in range(4) for j in range(i)]
    assert ranking.mean_agreement == pytest.approx(np.mean(wanted))
    miou = np.array(list(results.values()))
    assert ranking.weighted_tau("GBC") == pytest.approx(weightedtau(values[:6, 1], miou).statistic)
    assert ranking.weighted_tau("LEEP") == pytest.approx(weightedtau(values[2:6, 4], miou[2:]).statistic)
    order = [-ranking.ranks[f"{i}"] for i in range(6)]
    assert ranking.weighted_tau("mean rank") == pytest.approx(weightedtau(order, miou).statistic)


def test_too_few_or_equal_values_have_no_correlation() -> None:
    assert Ranking([ONE, TWO], {"one": 0.1, "two": 0.2}).weighted_tau("LogME") is None
    same = Ranking([entry(name, 1, 2, value, 3) for name, value in (("a", 1), ("b", 2), ("c", 3))], RESULTS)
    assert same.agreement("LogME", "GBC") is None and same.mean_agreement is None and same.caution is None


def report(results: Results | None) -> Report:
    ranking = Ranking([ONE, TWO, BARE], results.miou if results else None)
    return Report(ranking, ["a", "b"], {"road": 5, "sky": 4, "car": 0}, results, "lightning rank")


def test_the_terminal_ends_with_the_line_to_paste(capsys: pytest.CaptureFixture[str]) -> None:
    report(Results(RESULTS, "test images", ["runs/x is left out: why."])).print(Console(width=160))
    shown = capsys.readouterr().out
    assert shown.rstrip().endswith("\n\n--model.init_from 'a folder/one'")
    assert "9 pixels of 2 labelled target images" in shown
    assert "No labelled pixel is of car" in shown
    assert "No LEEP and NCE of the bare: it knows no classes." in shown
    assert "the one has seen 9 target labels" in shown and "runs/x is left out: why." in shown
    taus = next(line for line in shown.splitlines() if "weighted τ" in line)
    assert f"{weightedtau([0.4, 0.3, 0.1], [0.6, 0.5, 0.55]).statistic:.2f}" in taus and "–" in taus
    report(None).print(Console(width=160))
    assert "weighted τ" not in capsys.readouterr().out


def test_the_files_hold_all_of_it(tmp_path: Path) -> None:
    report(Results(RESULTS, "test images")).write(tmp_path / "new" / "rank.json")
    content = json.loads((tmp_path / "new" / "rank.json").read_text())
    assert [one["name"] for one in content["candidates"]] == ["one", "two", "bare"]
    assert content["candidates"][2]["scores"] == BARE.scores.values
    assert content["candidates"][0]["options"] == ["--model.init_from", "a folder/one"]
    assert content["agreement"]["LogME"]["H-score"] == pytest.approx(1)
    assert content["weighted_tau"]["LEEP"] is None and content["weighted_tau"]["LogME"] is not None
    with (tmp_path / "new" / "rank.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["candidate"], row["LEEP"], row["target mIoU"]) for row in rows] == [
        ("one", "-1.0", "0.6"),
        ("two", "-2.0", "0.5"),
        ("bare", "", "0.55"),
    ]


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs from two checkpoints and from an encoder; two of the first."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = make()
    for name in ("day", "fluorescence"):
        Path(f"runs/{name}/checkpoints").mkdir(parents=True)
        save_checkpoint(network, Path(f"runs/{name}/checkpoints/last.ckpt"))
    for seed, quality in ((0, 0.5), (1, 0.7)):
        write_run(
            Path(f"runs/tuned/day{seed}"),
            "FineTune",
            seed,
            quality,
            init_from="runs/day/checkpoints/last.ckpt",
            images=4,
            labels=5,
        )
    write_run(
        Path("runs/tuned/fluorescence"),
        "FineTune",
        init_from="runs/fluorescence/checkpoints/last.ckpt",
        images=4,
        labels=5,
    )
    write_run(Path("runs/tuned/encoder"), "FineTune", images=4, labels=5)
    return Path("runs/tuned")


def read(*places: Path, target: str = "data/dusk") -> Results:
    spec = NetworkSpec("Unet", "resnet18", ["road", "sky"], 3, {"decoder_channels": [8] * 5})
    spelled = ["day", "runs/fluorescence", "null", "encoder:resnet34=null"]
    candidates = parse_candidates(spelled, Setup(spec, None, None, 0, Path("runs")))
    return read_results(places, candidates, {"data.target": target, "data.labels": 5})


def test_runs_count_for_the_candidate_they_began_with(trained: Path) -> None:
    found = read(trained)
    of = {name: read_run(trained / name).scores["test"]["target"]["mIoU"] for name in ("day0", "day1", "encoder")}
    assert found.miou.keys() == {"day", "runs/fluorescence", "null"}
    assert found.miou["day"] == pytest.approx((of["day0"] + of["day1"]) / 2)
    assert found.miou["null"] == pytest.approx(of["encoder"])
    assert found.what.startswith("test images, FineTune") and "steps: 300" in found.what and not found.notes
    # Where one has no test scores, the validation images are what all have.
    (trained / "encoder" / "test.csv").unlink()
    assert read(trained).what.startswith("validation images")


def test_runs_that_cannot_be_compared_are_left_out_or_refused(trained: Path) -> None:
    record = json.loads((trained / "encoder/run.json").read_text())
    (trained / "encoder/run.json").write_text(json.dumps({**record, "steps": 100}))
    assert read(trained).notes == [f"{trained}/encoder is left out: it was stopped at step 100 of 300."]
    elsewhere = read(trained, target="data/night")
    assert elsewhere.miou == {} and "its target is another" in elsewhere.notes[0]
    assert "No finished run in runs/tuned began with a candidate." in elsewhere.notes
    write_run(
        Path("runs/longer"), "FineTune", init_from="runs/day/checkpoints/last.ckpt", images=4, labels=5, steps=900
    )
    with pytest.raises(ValueError, match=r"were made in different ways \(FineTune, .*steps: 300; FineTune, .*900\)"):
        read(trained, Path("runs/longer"))
    with pytest.raises(ValueError, match="runs/none does not exist"):
        read(Path("runs/none"))

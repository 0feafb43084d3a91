"""``lightning gap`` as a user types it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from refusals import refused
from report_page import Page

from lightning_app.cli import main
from lightning_app.gap.advice import APART, LABELS, SPECTRUM, STATISTICS, advice
from lightning_app.gap.measure import Measure
from lightning_app.gap.options import GapOptions
from lightning_app.gap.result import GapResult


@pytest.fixture
def trained(config: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of three steps."""
    settings: dict[str, Any] = yaml.safe_load(config.read_text())
    settings["trainer"] |= {"limit_val_batches": 0}
    config.write_text(yaml.safe_dump(settings))
    main(["fit", "--config", str(config), "--run", "mine", "--checkpoint.monitor", "null"])
    return Path("runs/mine/checkpoints/last.ckpt")


def test_a_gap_is_measured_and_reported(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["gap", "--config", str(config), "--gap.pixels", "4"])
    shown = capsys.readouterr().out
    assert "Report: runs/gap.html" in shown and "proxy A-distance" in shown and "gap / floor" in shown
    assert sorted(Path("runs").iterdir()) == [Path("runs/gap.html"), Path("runs/gap.json")]  # and nothing else
    found = json.loads(Path("runs/gap.json").read_text())
    assert found["images"] == {"source": 6, "target": 6, "compared": 3}
    by_name = {(one["name"], one["place"]): one for one in found["measures"]}
    assert by_name["colour", "image"]["ratio"] > 1.2 and by_name["MMD²", "stage 3 of 3"]["p_value"] <= 1
    assert found["before"] is None and found["advice"] in " ".join(shown.split())
    assert any("not trained" in sentence for sentence in found["missing"])
    page = Page(Path("runs/gap.html"))
    assert "lightning gap --config" in page.text and found["advice"] in page.text
    assert page.fetched == [] and not page.tags & {"script", "link", "iframe"}
    assert page.pictures == 2 * (3 + 3)


def test_before_and_after(config: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = ["--gap.report", "out/gap.html"]
    main(["gap", "--config", str(config), "--ckpt_path", str(trained), "--gap.before", str(trained), *report])
    found = json.loads(Path("out/gap.json").read_text())
    assert found["before"]["measures"] == found["measures"] and found["network"] == str(trained)
    assert "as far apart as before" in found["advice"] and "gap before" in Page(Path("out/gap.html")).text
    capsys.readouterr()
    # The same network by init_from is the same gap.
    main(["gap", "--config", str(config), "--model.init_from", str(trained), *report])
    assert json.loads(Path("out/gap.json").read_text())["measures"] == found["measures"]
    settings: dict[str, Any] = yaml.safe_load(config.read_text())
    settings["data"]["init_args"]["classes"] = ["road", "other"]
    for role in ("source", "target"):
        settings["data"]["init_args"][role]["init_args"]["label_map"] = {"*": "other"}
    config.write_text(yaml.safe_dump(settings))
    told = refused(capsys, "gap", "--config", str(config), "--gap.before", str(trained))
    assert "was trained on the classes" in told and "road, other" in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--data.source.init_args.train", "1"], "source/train has one image"),
        (["--data.target.init_args.test", "0", "--gap.split", "test"], "target/test has no image"),
        (["--gap.before", "none.ckpt"], "none.ckpt"),
        (["--data.target", "null"], "there is no target: set data.target"),
        (["--gap.report", "gap.json"], "it is the HTML file"),
        (["--gap.imags", "9"], "Did you mean --gap.images?"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    options: list[str], told: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = Path("runs/gap.html")
    earlier.parent.mkdir()
    earlier.write_text("an earlier report")
    assert told in refused(capsys, "gap", "--config", str(config), *options)
    assert earlier.read_text() == "an earlier report"


@pytest.mark.parametrize("options", [{"images": 1}, {"images": 2001}, {"pixels": 1}])
def test_numbers_out_of_bounds_are_named(options: dict[str, int]) -> None:
    name, value = next(iter(options.items()))
    with pytest.raises(ValueError, match=rf"gap\.{name} is {value}; it is "):
        GapOptions(**options)


def result(**measures: tuple[float, float]) -> GapResult:
    """A result of (gap, floor) by name."""
    names = {
        "spectrum": "image",
        "statistics": "encoder",
        "labels": "predicted",
        "apart": "stage 5 of 5",
        "means": "stage 5 of 5",
    }
    spelled = {"statistics": "BatchNorm statistics", "apart": "proxy A-distance", "means": "MMD²"}
    found = [Measure(spelled.get(name, name), names[name], [gap], [floor]) for name, (gap, floor) in measures.items()]
    return GapResult("network", (10, 10), 5, found)


@pytest.mark.parametrize(
    ("measures", "advised", "number"),
    [
        ({"spectrum": (0.9, 0.1), "apart": (1.9, 0.1)}, "FourierStyle", "0.9 nats, 9.0×"),
        ({"spectrum": (0.3, 0.2), "statistics": (0.7, 0.1)}, "AdaptiveBatchNorm", "0.7 nats a channel, 7.0×"),
        ({"spectrum": (0.9, 0.6), "labels": (0.1, 0.01)}, "SelfTraining", "0.1 bits, 10.0×"),
        ({"spectrum": (0.1, 0.1), "apart": (1.5, 0.1)}, "ClassMix", "1.5, 15.0×"),
        ({"spectrum": (0.1, 0.1), "apart": (0.15, 0.1)}, "plain training on the source is enough", "1.5×"),
        ({"spectrum": (0.3, 0.1), "apart": (0.5, 0.3)}, "train on the source alone first", "3.0×"),
        (
            {"spectrum": (0.1, 0.1), "apart": (-0.5, 0.1)},
            "plain training on the source is enough",
            "spectrum, image: 1.0×",
        ),
    ],
)
def test_advice_follows_the_rules(measures: dict[str, tuple[float, float]], advised: str, number: str) -> None:
    text = advice(result(**measures))
    assert advised in text and number in text
    others = {"FourierStyle", "AdaptiveBatchNorm", "SelfTraining", "ClassMix", "enough", "alone first"} - {advised}
    assert not [other for other in others if other in text and other not in advised]


def test_the_page_states_the_thresholds() -> None:
    page = (Path(__file__).parents[3] / "docs/gap.md").read_text()
    for rule in (
        f"spectrum ≥ 2× and ≥ {SPECTRUM:g} nats",
        f"BatchNorm statistics ≥ 2× and ≥ {STATISTICS:g} nats",
        f"≥ 2× and ≥ {LABELS:g} bits",
        f"≥ 2× and ≥ {APART:g} |",
    ):
        assert rule in page


@pytest.mark.parametrize(
    ("now", "then", "told"),
    [
        ({"apart": (0.8, 0.1)}, {"apart": (1.9, 0.1)}, "are closer: proxy A-distance from 1.9 to 0.8."),
        ({"apart": (1.9, 0.1)}, {"apart": (0.8, 0.1)}, "are farther apart: proxy A-distance from 0.8 to 1.9."),
        ({"apart": (0.95, 0.1)}, {"apart": (1.0, 0.01)}, "are as far apart as before: proxy A-distance"),
        (
            {"apart": (0.8, 0.1), "means": (0.2, 0.05)},
            {"apart": (1.9, 0.1), "means": (0.22, 0.05)},
            "are partly closer: proxy A-distance from 1.9 to 0.8, MMD² from 0.22 to 0.2.",
        ),
        (
            {"apart": (1.9, 0.1), "means": (0.2, 0.05)},
            {"apart": (1.9, 0.1), "means": (0.1, 0.05)},
            "are partly farther apart: ",
        ),
        (
            {"apart": (1.9, 0.1), "means": (0.1, 0.05)},
            {"apart": (1.0, 0.1), "means": (0.3, 0.05)},
            "are closer by one distance and farther apart by the other: ",
        ),
    ],
)
def test_advice_tells_what_an_adaptation_changed(
    now: dict[str, tuple[float, float]], then: dict[str, tuple[float, float]], told: str
) -> None:
    assert told in advice(result(**now), result(**then))

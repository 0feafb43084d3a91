"""``lightning check`` as a user types it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from refusals import refused
from report_page import Page

from lightning_app.cli import main


@pytest.fixture
def own(config: Path) -> Path:
    """A config of two folders whose images have names that are no HTML."""
    names = ["a<b>&c", "straße 北京", "d", "e", "f", "g"]
    generator = np.random.default_rng(0)
    for role in ("source", "target"):
        for folder in ("images", "masks"):
            Path(role, folder).mkdir(parents=True)
        for name in names:
            Image.fromarray(generator.integers(0, 256, (40, 40, 3), np.uint8)).save(f"{role}/images/{name}.png")
            Image.fromarray(generator.integers(0, 2, (40, 40), np.uint8)).save(f"{role}/masks/{name}.png")
        Path(role, "train.txt").write_text("\n".join(names[:4]), encoding="utf-8")
        Path(role, "val.txt").write_text(names[4])
        Path(role, "test.txt").write_text(names[5])
    content: dict[str, Any] = yaml.safe_load(config.read_text())
    content["data"]["init_args"] |= {"source": "source", "target": "target", "classes": ["road", "sky"]}
    config.write_text(yaml.safe_dump(content))
    return config


def test_a_sound_run_is_tried_and_reported(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--config", str(config), "--check.steps", "2", "--check.workers", "2"])
    shown = capsys.readouterr().out
    assert "nothing must be mended" in shown and "Report: runs/check.html" in shown
    assert re.search(r"steps\W+3\b", shown) and "whole run" in shown
    assert list(Path("runs").iterdir()) == [Path("runs/check.html")]  # nothing else is left behind
    page = Page(Path("runs/check.html"))
    assert "lightning check --config" in page.text and "whole run" in page.text
    assert page.fetched == [] and not page.tags & {"script", "link", "iframe"}
    assert page.pictures == 2 * (4 + 3 + 2)  # source crops, whole images of source/train and target/val, masks too


def test_something_to_mend_ends_with_1(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("source/images/a<b>&c.png").write_bytes(b"no image")
    with pytest.raises(SystemExit) as left:
        main(["check", "--config", str(own), "--run", "mine"])
    shown = capsys.readouterr().out
    assert left.value.code == 1
    assert "1 error" in shown and "mend: Replace the files" in shown and "mend the errors first" in shown
    page = Page(Path("runs/mine/check.html"))
    assert "source/train a<b>&c" in page.text and "b" not in page.tags


def test_names_of_any_script_are_shown(own: Path) -> None:
    main(["check", "--config", str(own), "--check.steps", "0", "--check.report", "out/report.html"])
    assert "straße 北京" in Page(Path("out/report.html")).text


def test_what_stops_the_run_is_found_by_trying_it(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["check", "--config", str(own), "--check.steps", "1", "--checkpoint.monitor", "val/target/iou/car"])
    assert left.value.code == 1
    assert "the run was tried and stopped: ModelCheckpoint monitors" in capsys.readouterr().out.replace("\n", " ")


def test_mistakes_of_the_config_are_those_of_fit(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for mistake in (
        ["--data.classes", "[road, road]"],
        ["--model.strategy", "SorceOnly"],
        ["--trainer.max_stops", "3"],
    ):
        said = [refused(capsys, command, "--config", str(own), *mistake) for command in ("fit", "check")]
        assert said[0].replace("lightning fit", "") == said[1].replace("lightning check", "")


def test_options_out_of_bounds(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "check.sample is 0; it is at least 1" in refused(
        capsys, "check", "--config", str(own), "--check.sample", "0"
    )
    assert "check.sample" in refused(capsys, "check", "--config", str(own), "--check.sampel", "3")

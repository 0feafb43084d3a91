"""``lightning rank`` as a user types it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from refusals import refused
from weights_on_disk import make, save_checkpoint

from datamodules import SyntheticStreets
from lightning_app.cli import main

FPN = {"encoder_depth": 3, "decoder_pyramid_channels": 32, "decoder_segmentation_channels": 32}


@pytest.fixture
def ranked(config: Path) -> Path:
    """A config whose network is tiny, and the checkpoint of a run."""
    content: dict[str, Any] = yaml.safe_load(config.read_text())
    content["model"]["encoder"] = "tu-test_resnet"
    content["model"]["encoder_weights"] = "imagenet"  # which no candidate needs
    config.write_text(yaml.safe_dump(content))
    Path("runs/source/checkpoints").mkdir(parents=True)
    torch.manual_seed(1)
    network = make("tu-test_resnet", architecture="FPN", options=FPN)
    save_checkpoint(network, Path("runs/source/checkpoints/last.ckpt"))
    return config


def ranking(path: Path = Path("runs/rank.json")) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_candidates_are_ranked_and_the_last_line_says_how_to_start(
    ranked: Path, capsys: pytest.CaptureFixture[str], no_network: list[str]
) -> None:
    options = ("rank", "--config", f"{ranked}", "--data.labels", "3", "--pixels", "400")
    main([*options, "--candidates", "source", "null", "encoder:tu-test_resnet=runs/source/checkpoints/last.ckpt"])
    shown = capsys.readouterr().out
    found = ranking()
    assert len(found["images"]) == 3 and 0 < sum(found["pixels"].values()) <= 404
    by_name = {one["name"]: one for one in found["candidates"]}
    assert set(by_name["source"]["scores"]) == {"LogME", "GBC", "H-score", "k-NN", "LEEP", "NCE"}
    assert by_name["null"]["lacking"].keys() == {"LEEP", "NCE"}
    # The same encoder by another spelling has the same features.
    encoder = by_name["encoder:tu-test_resnet=runs/source/checkpoints/last.ckpt"]
    assert encoder["scores"].items() <= by_name["source"]["scores"].items()
    assert " ".join(found["candidates"][0]["options"]) in shown and found["reason"] in shown
    assert not no_network
    assert sorted(path.name for path in Path("runs").iterdir()) == ["rank.csv", "rank.json", "source"]
    # The same command finds the same numbers.
    main([*options, "--candidates", "null", "source", "--report", "again/rank.json"])
    again = {one["name"]: one["scores"] for one in ranking(Path("again/rank.json"))["candidates"]}
    assert again == {name: by_name[name]["scores"] for name in ("null", "source")}


def test_one_image_and_a_class_without_a_pixel_are_said(ranked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load(ranked.read_text())
    content["data"]["init_args"]["classes"] = [*SyntheticStreets.classes, "bridge"]
    content["candidates"] = ["source", None]  # null without quotes
    ranked.write_text(yaml.safe_dump(content))
    main(["rank", "--config", f"{ranked}", "--data.labels", "1", "--run", "mine"])
    found = ranking(Path("runs/mine/rank.json"))
    shown = " ".join(capsys.readouterr().out.split())
    assert "No k-NN of any candidate: its neighbours are pixels of other images, and only one" in shown
    assert found["pixels"]["bridge"] == 0 < found["pixels"]["road"]
    assert "bridge: the ranking says nothing of" in shown


def test_mistakes_are_named(ranked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ("rank", "--config", f"{ranked}")
    two = ("--candidates", "source", "null")
    assert "give some for training, such as --data.labels 5" in refused(capsys, *config, *two).lower()
    labelled = (*config, "--data.labels", "2")
    assert "names 0 network" in refused(capsys, *labelled)
    said = refused(capsys, *labelled, "--candidates", "encoder:resnet81=null", "null")
    assert "candidate encoder:resnet81=null: encoder resnet81 does not exist" in said
    assert "--pixels is 1; it is at least 2" in refused(capsys, *labelled, *two, "--pixels", "1")
    damaged = make("tu-test_resnet", architecture="FPN", options=FPN)
    torch.nn.init.constant_(next(damaged.parameters()), torch.nan)
    save_checkpoint(damaged, Path("damaged.ckpt"))
    said = refused(capsys, *labelled, "--candidates", "damaged.ckpt", "null")
    assert "candidate damaged.ckpt: its features are not all finite" in said
    assert "it is the JSON file" in refused(capsys, *labelled, *two, "--report", "rank.csv")


def test_a_report_that_cannot_be_written_is_told_before_anything_is_scored(
    ranked: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_app.commands.rank.labelled_pixels", None)
    Path("file").touch()
    options = ("--data.labels", "2", "--candidates", "source", "null", "--report", "file/rank.json")
    assert "cannot be written" in refused(capsys, "rank", "--config", f"{ranked}", *options)

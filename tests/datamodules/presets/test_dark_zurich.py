from pathlib import Path

import pytest
from benchmark_trees import make_dark_zurich

from datamodules import DarkZurich
from datamodules.label_map import LabelMap
from datamodules.presets.labels import CITYSCAPES_CLASSES


def test_night_trains_without_labels_and_validates_with_them(tmp_path: Path) -> None:
    make_dark_zurich(tmp_path)
    domain = DarkZurich(str(tmp_path))
    names = {split: list(domain.names(split)) for split in ("train", "val", "test")}
    assert names == {
        "train": [f"train/night/GOPR0351/GOPR0351_frame_{frame:06d}" for frame in (1, 31)],
        "val": ["val/night/GOPR0356/GOPR0356_frame_000321"],
        "test": ["test/night/GOPR0364/GOPR0364_frame_000321"],
    }
    assert [domain.has_mask(name) for split in names.values() for name in split] == [False, False, True, False]
    mask = LabelMap(domain.classes, domain.label_map, CITYSCAPES_CLASSES)(domain.read_mask(names["val"][0]), "mask")
    assert mask[0, :5].tolist() == [0, 1, 255, 255, 2]  # road, sidewalk, parking, rail track, building
    assert domain.group(names["train"][0]) == "train/night/GOPR0351"


@pytest.mark.parametrize(("time", "drive"), [("twilight", "GOPR0345"), ("day", "GOPR0333")])
def test_another_time_has_training_images_alone(tmp_path: Path, time: str, drive: str) -> None:
    make_dark_zurich(tmp_path / "zurich")
    domain = DarkZurich(str(tmp_path / "zurich"), time=time)
    assert list(domain.names("train")) == [f"train/{time}/{drive}/{drive}_frame_{frame:06d}" for frame in (1, 31)]
    assert list(domain.names("val")) == list(domain.names("test")) == []
    assert domain.name == f"zurich_{time}"

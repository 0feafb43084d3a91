from pathlib import Path

import pytest
from benchmark_trees import make_loveda

from datamodules import LoveDA
from datamodules.label_map import LabelMap

CLASSES = ["background", "building", "road", "water", "barren", "forest", "agriculture"]


@pytest.mark.parametrize(
    ("scene", "train", "test"),
    [
        ("rural", ["Train/Rural/images_png/0"], ["Test/Rural/images_png/4"]),
        ("urban", ["Train/Urban/images_png/1"], ["Test/Urban/images_png/5"]),
        (None, ["Train/Rural/images_png/0", "Train/Urban/images_png/1"], None),
    ],
)
def test_a_scene_is_read_alone_or_both(tmp_path: Path, scene: str | None, train: list[str], test: list[str]) -> None:
    make_loveda(tmp_path / "loveda")
    domain = LoveDA(str(tmp_path / "loveda"), scene=scene)
    assert list(domain.names("train")) == train
    assert len(domain.names("val")) == len(train)
    assert test is None or list(domain.names("test")) == test
    assert domain.name == ("loveda" if scene is None else f"loveda_{scene}")
    domain.check_masks()


def test_no_data_is_ignored_and_the_classes_count_from_one(tmp_path: Path) -> None:
    make_loveda(tmp_path)
    domain = LoveDA(str(tmp_path), scene="urban")
    mask = LabelMap(domain.classes, domain.label_map, CLASSES)(domain.read_mask("Val/Urban/images_png/3"), "mask")
    assert mask[0, :8].tolist() == [255, 0, 1, 2, 3, 4, 5, 6]


def test_placeholders_of_the_test_are_no_masks(tmp_path: Path) -> None:
    make_loveda(tmp_path)
    domain = LoveDA(str(tmp_path))
    assert [domain.has_mask(name) for split in ("train", "val", "test") for name in domain.names(split)] == [
        *[True] * 4,
        *[False] * 2,
    ]

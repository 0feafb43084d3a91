from pathlib import Path

import numpy as np
import pytest
from benchmark_trees import make_gta5

from datamodules import GTA5
from datamodules.label_map import LabelMap
from datamodules.presets.labels import CITYSCAPES_CLASSES


def test_a_few_images_are_held_out_for_validation_and_none_for_test(tmp_path: Path) -> None:
    make_gta5(tmp_path)
    domain = GTA5(str(tmp_path))
    train, val = set(domain.names("train")), set(domain.names("val"))
    assert len(train) == 9 and len(val) == 1 and list(domain.names("test")) == []
    assert train | val == {f"{number:05d}" for number in range(1, 11)}
    domain.check_masks()  # what other programs put beside the labels is nothing to complain of


def test_shares_can_train_on_all(tmp_path: Path) -> None:
    make_gta5(tmp_path)
    assert len(GTA5(str(tmp_path), shares=(1.0, 0.0, 0.0)).names("train")) == 10


def test_lists_of_the_authors_split_go_before_the_shares(tmp_path: Path) -> None:
    make_gta5(tmp_path)
    (tmp_path / "train.txt").write_text("00003.png\n00001.png\n")
    (tmp_path / "val.txt").write_text("00004.png\n")
    domain = GTA5(str(tmp_path))
    assert [list(domain.names(split)) for split in ("train", "val", "test")] == [["00001", "00003"], ["00004"], []]


def test_palette_masks_are_read_as_ids_and_become_the_19_classes(tmp_path: Path) -> None:
    make_gta5(tmp_path, count=3)
    domain = GTA5(str(tmp_path))
    ids = domain.read_mask("00002")
    np.testing.assert_array_equal(ids[0], np.arange(11, 35))
    mask = LabelMap(domain.classes, domain.label_map, CITYSCAPES_CLASSES)(ids, "mask")
    assert mask[0, :3].tolist() == [2, 3, 4]  # building, wall, fence: 11, 12, 13
    assert mask[0, -3:].tolist() == [17, 18, 255]  # motorcycle, bicycle, licence plate: 32, 33, 34


def test_a_wrong_root_says_what_to_unpack(tmp_path: Path) -> None:
    make_gta5(tmp_path / "gta5", count=1)
    with pytest.raises(FileNotFoundError, match=r"holds gta5.*GTA5: unpack 01_images\.zip"):
        GTA5(str(tmp_path)).names("train")

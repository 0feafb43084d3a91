from pathlib import Path

import numpy as np
import pytest
from benchmark_trees import make_synthia

from datamodules import Synthia
from datamodules.label_map import LabelMap
from datamodules.presets.labels import CITYSCAPES_CLASSES

# Class of Cityscapes by id, as the conversion of DAFormer has it; terrain, truck and train have no pixel.
CLASS_OF_ID = {
    3: 0,
    4: 1,
    2: 2,
    21: 3,
    5: 4,
    7: 5,
    15: 6,
    9: 7,
    6: 8,
    1: 10,
    10: 11,
    17: 12,
    8: 13,
    19: 15,
    12: 17,
    11: 18,
}


def test_a_few_images_are_held_out_for_validation_and_none_for_test(tmp_path: Path) -> None:
    make_synthia(tmp_path)
    domain = Synthia(str(tmp_path))
    assert len(domain.names("train")) == 9 and len(domain.names("val")) == 1 and list(domain.names("test")) == []
    domain.check_masks()


def test_the_red_channel_of_a_16_bit_mask_becomes_16_classes(tmp_path: Path) -> None:
    make_synthia(tmp_path, count=3)
    domain = Synthia(str(tmp_path))
    ids = domain.read_mask("0000001")
    np.testing.assert_array_equal(ids[0, :23], np.arange(23))
    table = LabelMap(domain.classes, domain.label_map, CITYSCAPES_CLASSES)
    np.testing.assert_array_equal(table(ids, "mask")[0, :23], [CLASS_OF_ID.get(i, 255) for i in range(23)])
    assert table.reached == sorted(CLASS_OF_ID.values())


def test_13_classes_are_those_without_wall_fence_and_pole(tmp_path: Path) -> None:
    domain = Synthia(str(tmp_path), classes=13)
    reached = LabelMap(domain.classes, domain.label_map, CITYSCAPES_CLASSES).reached
    left_out = {"wall", "fence", "pole", "terrain", "truck", "train"}
    assert [CITYSCAPES_CLASSES[i] for i in reached] == [name for name in CITYSCAPES_CLASSES if name not in left_out]


def test_the_user_can_keep_what_is_left_out(tmp_path: Path) -> None:
    domain = Synthia(str(tmp_path), classes=13, label_map={"wall": "wall", "lane marking": "road"})
    table = LabelMap(domain.classes, domain.label_map, CITYSCAPES_CLASSES)
    assert table(np.array([[21, 22, 7]], np.uint8), "mask")[0].tolist() == [3, 0, 255]


def test_what_the_user_maps_by_its_id_is_not_ignored_by_its_name(tmp_path: Path) -> None:
    domain = Synthia(str(tmp_path), label_map={16: "vegetation", "train": "bus"})
    label_map = LabelMap(domain.classes, domain.label_map, CITYSCAPES_CLASSES)
    mapped = label_map(np.array([[16, 18, 20]], np.uint8), "mask").tolist()
    assert mapped == [[CITYSCAPES_CLASSES.index("vegetation"), 255, CITYSCAPES_CLASSES.index("bus")]]


def test_a_root_above_says_which_folder_it_is(tmp_path: Path) -> None:
    make_synthia(tmp_path / "RAND_CITYSCAPES", count=1)
    with pytest.raises(FileNotFoundError, match=r"holds RAND_CITYSCAPES.*set root to its folder RAND_CITYSCAPES"):
        Synthia(str(tmp_path)).names("train")

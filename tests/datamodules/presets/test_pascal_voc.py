from pathlib import Path

import numpy as np
import pytest
from benchmark_trees import write_image, write_palette_mask

from datamodules import PascalVOC
from datamodules.label_map import LabelMap
from datamodules.presets.labels import PASCAL_VOC_CLASSES


def make_voc(root: Path) -> None:
    for name in ("2007_000032", "2007_000033", "2008_000002"):
        write_image(root / f"JPEGImages/{name}.jpg")
        write_image(root / f"SegmentationObject/{name}.png")
    for name in ("2007_000032", "2007_000033"):
        write_palette_mask(root / f"SegmentationClass/{name}.png", [0, 1, 15, 20, 255])
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000032\n")
    (lists / "val.txt").write_text("2007_000033\n")
    (lists / "trainval.txt").write_text("2007_000032\n2007_000033\n")


def test_lists_rule_and_what_no_list_names_is_not_read(tmp_path: Path) -> None:
    make_voc(tmp_path)
    domain = PascalVOC(str(tmp_path))
    assert [list(domain.names(split)) for split in ("train", "val", "test")] == [["2007_000032"], ["2007_000033"], []]
    domain.check_masks()


def test_palette_masks_are_read_as_ids_and_255_is_ignored(tmp_path: Path) -> None:
    make_voc(tmp_path)
    domain = PascalVOC(str(tmp_path))
    ids = domain.read_mask("2007_000032")
    assert ids[0, :5].tolist() == [0, 1, 15, 20, 255]
    table = LabelMap(domain.classes, domain.label_map, ["person", "background"])
    assert table(ids, "mask")[0, :5].tolist() == [1, 255, 0, 255, 255]


def test_the_21_classes_of_voc_are_known(tmp_path: Path) -> None:
    domain = PascalVOC(str(tmp_path))
    assert LabelMap(domain.classes, {}, PASCAL_VOC_CLASSES).reached == list(range(21))
    assert PASCAL_VOC_CLASSES[7] == "car" and PASCAL_VOC_CLASSES[20] == "tvmonitor"


def test_other_classes_can_be_given_and_png_images(tmp_path: Path) -> None:
    make_voc(tmp_path)
    (tmp_path / "JPEGImages/2007_000033.jpg").unlink()
    write_image(tmp_path / "JPEGImages/2007_000033.png")
    write_palette_mask(tmp_path / "SegmentationClass/2007_000033.png", [1, 0])
    domain = PascalVOC(str(tmp_path), classes=["ground", "crack"])
    assert domain.read_image("2007_000033").shape == (16, 24, 3)
    mask = LabelMap(domain.classes, domain.label_map, ["crack", "ground"])(domain.read_mask("2007_000033"), "mask")
    np.testing.assert_array_equal(mask[0, :2], [0, 1])


def test_a_wrong_root_names_the_folder(tmp_path: Path) -> None:
    make_voc(tmp_path / "VOCdevkit/VOC2012")
    with pytest.raises(FileNotFoundError, match=r"holds VOCdevkit.*set root to its folder VOCdevkit/VOC2012"):
        PascalVOC(str(tmp_path)).names("train")

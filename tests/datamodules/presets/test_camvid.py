from pathlib import Path

import numpy as np
import pytest
from benchmark_trees import write_color_mask, write_image

from datamodules import CamVid
from datamodules.label_map import LabelMap

SPLITS = {
    "train": ["0001TP_006690", "0001TP_008520", "0006R0_f00930", "0016E5_00390", "0016E5_07920", "0016E5_08190"],
    "val": ["0016E5_07959", "0016E5_08001", "0016E5_08159"],
    "test": ["0001TP_008550", "0001TP_010380", "Seq05VD_f00000", "Seq05VD_f05100"],
}
ROAD, SKY, LANE, VOID = (128, 64, 128), (128, 128, 128), (128, 0, 192), (0, 0, 0)


def make_camvid(root: Path, colors: list[tuple[int, int, int]]) -> None:
    for name in (name for names in SPLITS.values() for name in names):
        write_image(root / f"701_StillsRaw_full/{name}.png")
        write_color_mask(root / f"LabeledApproved_full/{name}_L.png", colors)
    (root / "LabeledApproved_full/Thumbs.db").write_bytes(b"")
    (root / "label_colors.txt").write_text("64 128 64\tAnimal\n")


def test_the_split_is_that_of_segnet(tmp_path: Path) -> None:
    make_camvid(tmp_path, [ROAD])
    domain = CamVid(str(tmp_path))
    assert {split: list(domain.names(split)) for split in ("train", "val", "test")} == SPLITS
    assert all(domain.has_mask(name) for names in SPLITS.values() for name in names)
    domain.check_masks()


def test_colours_become_classes_of_the_run(tmp_path: Path) -> None:
    make_camvid(tmp_path, [ROAD, SKY, LANE, VOID])
    domain = CamVid(str(tmp_path), label_map={"LaneMkgsDriv": "Road"})
    table = LabelMap(domain.classes, domain.label_map, ["Sky", "Road"])
    assert table(domain.read_mask("0016E5_00390"), "mask")[0, :4].tolist() == [1, 0, 1, 255]


def test_there_are_32_classes_of_32_colours(tmp_path: Path) -> None:
    domain = CamVid(str(tmp_path))
    table = LabelMap(domain.classes, {}, list(domain.classes or []))
    assert table.reached == list(range(32))


def test_a_colour_of_no_class_is_refused(tmp_path: Path) -> None:
    make_camvid(tmp_path, [ROAD, (1, 2, 3)])
    with pytest.raises(ValueError, match=r"1, 2, 3"):
        CamVid(str(tmp_path)).read_mask("0016E5_00390")


@pytest.mark.parametrize(("name", "drive"), [("0016E5_07959", "0016E5"), ("Seq05VD_f00000", "Seq05VD")])
def test_frames_of_a_drive_are_a_group(tmp_path: Path, name: str, drive: str) -> None:
    assert CamVid(str(tmp_path)).group(name) == drive


def test_masks_are_read_for_their_image(tmp_path: Path) -> None:
    make_camvid(tmp_path, [SKY])
    domain = CamVid(str(tmp_path))
    assert np.unique(domain.read_mask("0006R0_f00930")).tolist() == [list(domain.classes or []).index("Sky")]

from pathlib import Path

from benchmark_trees import write_image, write_mask

from datamodules import CamVid11
from datamodules.label_map import LabelMap

# The order of data.classes is not that of the ids.
CLASSES = [
    "Road",
    "Sky",
    "Building",
    "Pole",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
]


def test_folders_are_splits_and_lists_of_another_machine_are_passed_over(tmp_path: Path) -> None:
    names = {"train": "0001TP_006690", "val": "0016E5_07959", "test": "Seq05VD_f00000"}
    for split, name in names.items():
        write_image(tmp_path / f"{split}/{name}.png")
        write_mask(tmp_path / f"{split}annot/{name}.png", range(12))
        (tmp_path / f"{split}.txt").write_text(
            f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png\n"
        )
    domain = CamVid11(str(tmp_path))
    assert {split: list(domain.names(split)) for split in ("train", "val", "test")} == {
        split: [f"{split}/{name}"] for split, name in names.items()
    }
    mask = LabelMap(domain.classes, domain.label_map, CLASSES)(domain.read_mask("val/0016E5_07959"), "mask")
    assert mask[0, :12].tolist() == [1, 2, 3, 0, 4, 5, 6, 7, 8, 9, 10, 255]
    assert all(domain.has_mask(f"{split}/{name}") for split, name in names.items())
    assert domain.group("test/Seq05VD_f00000") == "Seq05VD"
    domain.check_masks()

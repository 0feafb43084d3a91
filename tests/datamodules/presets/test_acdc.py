from pathlib import Path

import numpy as np
from benchmark_trees import make_acdc

from datamodules import ACDC
from datamodules.label_map import LabelMap
from datamodules.presets.labels import CITYSCAPES_CLASSES


def test_all_conditions_are_read_and_no_reference_image(tmp_path: Path) -> None:
    make_acdc(tmp_path)
    domain = ACDC(str(tmp_path))
    for split in ("train", "val", "test"):
        assert list(domain.names(split)) == [
            f"{condition}/{split}/GOPR0475/GOPR0475_frame_000041" for condition in ("fog", "night", "rain", "snow")
        ]
    domain.check_masks()


def test_a_condition_is_read_alone_and_gives_its_name(tmp_path: Path) -> None:
    make_acdc(tmp_path / "acdc")
    domain = ACDC(str(tmp_path / "acdc"), condition="night")
    (name,) = domain.names("val")
    assert [path.relative_to(tmp_path).as_posix() for path in domain.files(name)] == [
        "acdc/rgb_anon/night/val/GOPR0475/GOPR0475_frame_000041_rgb_anon.png",
        "acdc/gt/night/val/GOPR0475/GOPR0475_frame_000041_gt_labelIds.png",
    ]
    assert domain.name == "acdc_night"


def test_labels_are_those_of_cityscapes_and_withheld_in_the_test(tmp_path: Path) -> None:
    make_acdc(tmp_path)
    # A prediction that was saved in the place of the masks must not be scored against.
    place = tmp_path / "gt/fog/test/GOPR0475/GOPR0475_frame_000041_gt_labelIds.png"
    place.parent.mkdir(parents=True)
    place.write_bytes((tmp_path / "gt/fog/val/GOPR0475/GOPR0475_frame_000041_gt_labelIds.png").read_bytes())
    for domain in (ACDC(str(tmp_path)), ACDC(str(tmp_path), condition="fog")):
        assert all(domain.has_mask(name) for split in ("train", "val") for name in domain.names(split))
        assert not any(domain.has_mask(name) for name in domain.names("test"))
        ids = domain.read_mask(domain.names("train")[0])
        mask = LabelMap(domain.classes, domain.label_map, CITYSCAPES_CLASSES)(ids, "mask")
        assert mask[0, :2].tolist() == [0, 1]  # road, sidewalk: 7 and 8
        assert mask[0, [2, 22, 23]].tolist() == [255, 255, 255]  # parking, caravan, trailer: 9, 29, 30
        assert np.count_nonzero(mask[0] != 255) == 16  # 16 of the 19 have ids from 7 to 30


def test_images_of_a_drive_are_a_group(tmp_path: Path) -> None:
    assert ACDC(str(tmp_path)).group("fog/train/GOPR0475/GOPR0475_frame_000041") == "fog/train/GOPR0475"

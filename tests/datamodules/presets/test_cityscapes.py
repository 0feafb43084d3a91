from pathlib import Path

import numpy as np
import pytest
from benchmark_trees import make_cityscapes, write_image

from datamodules import Cityscapes
from datamodules.label_map import LabelMap
from datamodules.presets.labels import CITYSCAPES_CLASSES, CITYSCAPES_LABELS

# The ids of the classes that are evaluated, in the order of their train ids, as cityscapesScripts lists them.
EVALUATED = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


@pytest.fixture
def cityscapes(tmp_path: Path) -> Cityscapes:
    make_cityscapes(tmp_path)
    return Cityscapes(str(tmp_path))


def test_the_splits_are_the_folders_and_train_extra_is_none(cityscapes: Cityscapes) -> None:
    assert list(cityscapes.names("train")) == ["train/aachen/aachen_000000_000019", "train/zurich/zurich_000000_000019"]
    assert list(cityscapes.names("val")) == ["val/lindau/lindau_000000_000019"]
    assert list(cityscapes.names("test")) == ["test/berlin/berlin_000000_000019"]
    cityscapes.check_masks()


def test_ids_become_the_19_classes_and_the_rest_is_ignored(cityscapes: Cityscapes) -> None:
    ids = cityscapes.read_mask("train/aachen/aachen_000000_000019")
    np.testing.assert_array_equal(ids[0], np.arange(24))
    mask = LabelMap(cityscapes.classes, cityscapes.label_map, CITYSCAPES_CLASSES)(ids, "mask")
    np.testing.assert_array_equal(mask[5], [EVALUATED.index(i) if i in EVALUATED else 255 for i in range(24)])


def test_the_labels_hold_the_19_classes_at_their_ids() -> None:
    assert sorted(CITYSCAPES_LABELS) == list(range(34))
    assert [CITYSCAPES_LABELS[i] for i in EVALUATED] == CITYSCAPES_CLASSES
    assert LabelMap(CITYSCAPES_LABELS, {"*": "ignore"}, CITYSCAPES_CLASSES).reached == list(range(19))


def test_the_labels_of_the_test_are_withheld_though_there_are_files(cityscapes: Cityscapes) -> None:
    assert cityscapes.has_mask("val/lindau/lindau_000000_000019")
    assert not cityscapes.has_mask("test/berlin/berlin_000000_000019")
    assert [path.name for path in cityscapes.files("test/berlin/berlin_000000_000019")] == [
        "berlin_000000_000019_leftImg8bit.png"
    ]


def test_images_of_a_city_are_a_group(cityscapes: Cityscapes) -> None:
    assert cityscapes.group("train/aachen/aachen_000000_000019") == "train/aachen"


def test_what_the_user_maps_comes_before_what_is_ignored(tmp_path: Path) -> None:
    domain = Cityscapes(str(tmp_path), label_map={"caravan": "car", 9: "road", "bus": "ignore"})
    mask = LabelMap(domain.classes, domain.label_map, CITYSCAPES_CLASSES)(np.array([[29, 9, 28, 30]], np.uint8), "mask")
    np.testing.assert_array_equal(mask[0], [13, 0, 255, 255])


def test_a_root_that_is_too_high_says_what_it_holds_and_what_to_unpack(tmp_path: Path) -> None:
    write_image(tmp_path / "leftImg8bit_trainvaltest/leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png")
    with pytest.raises(FileNotFoundError) as caught:
        Cityscapes(str(tmp_path)).names("train")
    for part in (
        f"{tmp_path / 'leftImg8bit'} does not exist; {tmp_path} holds leftImg8bit_trainvaltest.",
        "Cityscapes: unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip into one folder",
    ):
        assert part in str(caught.value)
    assert "Set images" not in str(caught.value)  # a preset has no such argument


def test_a_root_without_images_says_what_to_unpack(tmp_path: Path) -> None:
    (tmp_path / "leftImg8bit").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no images in .*leftImg8bit.*Cityscapes: unpack leftImg8bit_train"):
        Cityscapes(str(tmp_path)).names("train")

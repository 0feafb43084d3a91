import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from datamodules.folder_domain import FolderDomain

MakeFolder = Callable[..., Path]


def test_lists_rule_and_a_missing_list_is_an_empty_split(make_folder: MakeFolder) -> None:
    root = make_folder(count=4)
    (root / "train.txt").write_text("target_02\ntarget_00.png\n")
    (root / "test.txt").write_text("target_01\n")
    domain = FolderDomain(str(root))
    assert domain.names("train") == ["target_00", "target_02"]
    assert domain.names("val") == []
    assert domain.names("test") == ["target_01"]


def test_an_image_in_two_lists_is_refused(make_folder: MakeFolder) -> None:
    root = make_folder(count=4)
    (root / "train.txt").write_text("target_02\ntarget_00\n")
    (root / "test.txt").write_text("target_01\ntarget_00\n")
    with pytest.raises(ValueError, match=r"train\.txt and test\.txt both list target_00; an image belongs to one"):
        FolderDomain(str(root)).names("train")


def test_lists_with_a_byte_order_mark_and_suffixes_of_any_case_are_read(make_folder: MakeFolder) -> None:
    root = make_folder(count=2)
    (root / "train.txt").write_text("target_00\n", encoding="utf-8-sig")
    (root / "images" / "target_00.png").rename(root / "images" / "target_00.Png")
    domain = FolderDomain(str(root))
    assert domain.names("train") == ["target_00"]
    assert domain.read_image("target_00").ndim == 3


def test_a_listed_image_that_does_not_exist_names_list_line_and_nearest(make_folder: MakeFolder) -> None:
    root = make_folder(count=2)
    (root / "val.txt").write_text("target_00\n\ntarget_1\n")
    with pytest.raises(FileNotFoundError, match=r"val\.txt, line 3: there is no image 'target_1'.*'target_01'"):
        FolderDomain(str(root)).names("val")


def test_without_masks_all_images_are_for_training(make_folder: MakeFolder) -> None:
    domain = FolderDomain(str(make_folder(count=5, masks=[])))
    assert len(domain.names("train")) == 5
    assert domain.names("val") == domain.names("test") == []
    assert not domain.has_mask("target_00")
    domain.check_masks()


def test_without_lists_the_images_with_masks_are_split_by_the_seed(make_folder: MakeFolder) -> None:
    root = str(make_folder(count=20))
    splits = {seed: [FolderDomain(root, split_seed=seed).names(s) for s in ("train", "val", "test")] for seed in (0, 1)}
    assert [len(names) for names in splits[0]] == [14, 3, 3]
    assert splits[0] == [FolderDomain(root).names(split) for split in ("train", "val", "test")]
    assert splits[0] != splits[1]


def test_without_lists_images_without_a_mask_are_for_training(make_folder: MakeFolder) -> None:
    domain = FolderDomain(str(make_folder(count=10, masks=[0, 3, 7])))
    assert len(domain.names("train")) == 8
    held_out = [*domain.names("val"), *domain.names("test")]
    assert len(held_out) == 2
    assert all(domain.has_mask(name) for name in held_out)


def test_images_in_sub_folders_keep_their_path(make_folder: MakeFolder) -> None:
    root = make_folder(count=1)
    for kind in ("images", "masks"):
        (root / kind / "city").mkdir()
        (root / kind / "target_00.png").rename(root / kind / "city" / "a.png")
    domain = FolderDomain(str(root))
    assert domain.names("train") == ["city/a"]
    assert domain.read_image("city/a").shape == (12, 16, 3)
    assert domain.read_mask("city/a").shape == (12, 16)


def test_two_images_of_one_name_are_refused(make_folder: MakeFolder) -> None:
    root = make_folder(count=2)
    (root / "images" / "target_01.png").rename(root / "images" / "target_00.jpg")
    with pytest.raises(ValueError, match=r"two images in .*images have the name 'target_00' without suffix: rename"):
        FolderDomain(str(root)).names("train")


def test_value_range_scales_8_bit_images_too(make_folder: MakeFolder) -> None:
    root = str(make_folder(count=1))
    image = FolderDomain(root, value_range=(0, 255)).read_image("target_00")
    np.testing.assert_allclose(image, FolderDomain(root).read_image("target_00") / 255, atol=1e-6)
    with pytest.raises(ValueError, match="value_range is"):
        FolderDomain(root, value_range=(5, 5))


def test_a_root_that_does_not_exist_says_where_it_looked(
    tmp_path: Path, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder("cityscapes", count=1)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        FolderDomain("cityscape").names("train")
    for part in ("root 'cityscape' does not exist", f"Working directory: {tmp_path}", "The nearest is 'cityscapes'"):
        assert part in str(caught.value)


def test_a_missing_folder_of_images_says_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(FileNotFoundError, match=r"images does not exist; .* holds pictures"):
        FolderDomain(str(tmp_path)).names("train")


def test_a_folder_without_images_says_which_suffixes_count(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.gif").touch()
    with pytest.raises(FileNotFoundError, match=r"no images in .*: looked for images with the suffixes \.jpg, "):
        FolderDomain(str(tmp_path)).names("train")


def test_masks_without_image_are_listed(make_folder: MakeFolder) -> None:
    root = make_folder(count=8)
    for index in range(7):
        (root / "images" / f"target_{index:02d}.png").unlink()
    domain = FolderDomain(str(root))
    assert domain.names("train") == ["target_07"]
    with pytest.raises(ValueError, match=r"masks without an image.*target_00, .*target_04 and 2 more"):
        domain.check_masks()


def test_a_missing_mask_is_named(make_folder: MakeFolder) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"image 'target_00' has no mask: .*target_00\.png or \.tif, .* does not exist"
    ):
        FolderDomain(str(make_folder(count=1, masks=[]))).read_mask("target_00")


def test_it_travels_to_workers_and_stays_small(make_folder: MakeFolder) -> None:
    domain = FolderDomain(str(make_folder(count=10)))
    domain.names("train")
    assert len(pickle.dumps(domain)) < 2000


def test_several_roots_are_one_domain(make_folder: MakeFolder) -> None:
    monday, friday = make_folder("monday", 3), make_folder("friday", 2, seed=1)
    domain = FolderDomain([str(monday), str(friday)], shares=(1.0, 0.0, 0.0))
    names = [
        *(f"friday/friday_{index:02d}" for index in range(2)),
        *(f"monday/monday_{index:02d}" for index in range(3)),
    ]
    assert domain.names("train") == names
    expected = cv2.imread(str(friday / "masks" / "friday_01.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(domain.read_mask("friday/friday_01"), expected)
    (monday / "train.txt").write_text("monday_02\n")
    with pytest.raises(FileNotFoundError, match=r"there is .*monday/train\.txt, but no list in .*friday: each root"):
        FolderDomain([str(monday), str(friday)]).names("train")
    (friday / "val.txt").write_text("friday_00\n")
    listed = FolderDomain([str(monday), str(friday)])
    assert [listed.names(split) for split in ("train", "val")] == [["monday/monday_02"], ["friday/friday_00"]]
    with pytest.raises(ValueError, match=r"root names .*monday twice"):
        FolderDomain([str(monday), str(monday)])


def test_lists_that_are_asked_for_must_be_there(make_folder: MakeFolder) -> None:
    root = make_folder(count=3)
    (root / "sets").mkdir()
    (root / "sets" / "train.txt").write_text("target_01")
    assert FolderDomain(str(root), lists="sets/{split}.txt").names("train") == ["target_01"]
    with pytest.raises(FileNotFoundError, match=r"lists is 'set/\{split\}\.txt', but .*set/train\.txt does not exist"):
        FolderDomain(str(root), lists="set/{split}.txt").names("train")


def test_a_group_stays_in_one_split(make_folder: MakeFolder) -> None:
    root = make_folder(count=12)
    for index in range(12):
        for kind in ("images", "masks"):
            (root / kind / f"target_{index:02d}.png").rename(root / kind / f"drive{index // 2}_{index:02d}.png")
    domain = FolderDomain(str(root), group="^(drive.)_")
    groups = [{domain.group(name) for name in domain.names(split)} for split in ("train", "val", "test")]
    assert [len(of_split) for of_split in groups] == [4, 1, 1]
    assert sum(map(len, groups)) == len(set.union(*groups))
    with pytest.raises(ValueError, match=r"group is '\^\(car\)', which finds nothing in the name 'drive0_00'"):
        FolderDomain(str(root), group="^(car)").names("train")
    with pytest.raises(ValueError, match=r"group is '\(', which is no regular expression"):
        FolderDomain(str(root), group="(")


def test_masks_in_colours_are_ids_of_their_classes(make_folder: MakeFolder) -> None:
    root = make_folder(count=1)
    colours = np.array([[[128, 64, 128], [0, 0, 142]], [[0, 0, 0], [128, 64, 128]]], np.uint8)
    cv2.imwrite(str(root / "masks" / "target_00.png"), colours[..., ::-1])
    domain = FolderDomain(str(root), colors={"road": (128, 64, 128), "ignore": (0, 0, 0), "car": (0, 0, 142)})
    assert domain.classes == ["road", "ignore", "car"]
    assert domain.read_mask("target_00").tolist() == [[0, 2], [1, 0]]
    # What was counted by other ids is not taken from a cache.
    swapped = FolderDomain(str(root), colors={"car": (0, 0, 142), "ignore": (0, 0, 0), "road": (128, 64, 128)})
    assert swapped.mask_encoding != domain.mask_encoding
    assert pickle.loads(pickle.dumps(domain)).mask_encoding == domain.mask_encoding
    with pytest.raises(ValueError, match=r"colors names bus, which classes does not"):
        FolderDomain(str(root), colors={"bus": (0, 0, 1)}, classes=["road"])
    with pytest.raises(ValueError, match="mask_channel and colors are both given"):
        FolderDomain(str(root), colors={"road": (0, 0, 0)}, mask_channel=0)


def test_patterns_of_images_and_masks_must_fit_each_other(make_folder: MakeFolder) -> None:
    with pytest.raises(ValueError, match=r"both need the same \*, \*\*/ and \{split\} in the same order"):
        FolderDomain(str(make_folder(count=1)), images="{split}/*.png", masks="*.png")


def test_folders_of_other_splits_say_how_to_name_them(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    cv2.imwrite(str(tmp_path / "training" / "a_rgb.png"), np.zeros((4, 4, 3), np.uint8))
    patterns = {"images": "{split}/*_rgb.png", "masks": "{split}/*_ids.png"}
    with pytest.raises(ValueError, match=r"holds the splits training, but none of train, val, test\. Set split"):
        FolderDomain(str(tmp_path), **patterns).names("train")
    named = FolderDomain(str(tmp_path), split_names={"train": "training"}, **patterns)
    assert named.names("train") == ["training/a"]
    with pytest.raises(ValueError, match="two splits cannot be the same images"):
        FolderDomain(str(tmp_path), split_names={"train": "a", "val": "a"}, **patterns)


def test_two_masks_of_one_image_are_refused_and_any_spelling_of_a_suffix_is_found(make_folder: MakeFolder) -> None:
    root = make_folder(count=2)
    (root / "masks" / "target_01.png").rename(root / "masks" / "target_01.Png")
    domain = FolderDomain(str(root))
    assert domain.without_mask(domain.images) == [] and domain.has_mask("target_01")
    assert domain.read_mask("target_01").shape == (12, 16)
    np.save(root / "masks" / "target_00.npy", np.zeros((12, 16), np.uint8))
    with pytest.raises(ValueError, match=r"images with two masks in .*masks: target_00\. Keep one of each"):
        FolderDomain(str(root)).check_masks()

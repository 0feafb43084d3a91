import pickle
from collections.abc import Callable
from pathlib import Path

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

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.path_pattern import PathPattern, walk_files

SUFFIXES = (".png", ".jpg")
CITY = PathPattern("leftImg8bit/{split}/*/*_leftImg8bit.png", SUFFIXES, "images")
IDS = PathPattern("gtFine/{split}/*/*_gtFine_labelIds.png", SUFFIXES, "masks")


def _touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_a_name_is_the_path_from_the_first_wildcard_to_the_last() -> None:
    path = "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    assert CITY.name(path) == "train/aachen/aachen_000000_000019"
    assert CITY.split("train/aachen/aachen_000000_000019") == "train"
    assert CITY.name(path.replace("_leftImg8bit.png", "_other.png")) is None
    assert CITY.name(path.replace("/aachen/", "/")) is None


def test_a_mask_is_found_by_what_the_wildcards_stand_for(tmp_path: Path) -> None:
    _touch(tmp_path, "gtFine/train/aachen/aachen_0_gtFine_labelIds.png")
    captures = CITY.captures("train/aachen/aachen_0")
    assert captures is not None
    assert IDS.find(tmp_path, captures) == tmp_path / "gtFine/train/aachen/aachen_0_gtFine_labelIds.png"
    assert IDS.rebuild(captures) == "train/aachen/aachen_0"
    assert IDS.find(tmp_path, CITY.captures("train/aachen/aachen_1") or ()) is None


def test_a_folder_stands_for_all_in_it_and_below(tmp_path: Path) -> None:
    folder = PathPattern("images", SUFFIXES, "images")
    for path in ("a.v2.png", "sub/deep/b.JPG", ".hidden.png", ".git/c.png", "d.txt"):
        _touch(tmp_path, f"images/{path}")
    assert sorted(folder.walk(tmp_path)) == ["a.v2", "sub/deep/b"]
    assert folder.find(tmp_path, folder.captures("sub/deep/b") or ()) == tmp_path / "images/sub/deep/b.JPG"
    here = PathPattern(".", SUFFIXES, "images")
    assert sorted(here.walk(tmp_path / "images")) == ["a.v2", "sub/deep/b"]


def test_two_stars_stand_for_any_folders(tmp_path: Path) -> None:
    pattern = PathPattern("drives/**/rgb/*.png", SUFFIXES, "images")
    _touch(tmp_path, "drives/rgb/a.png", "drives/one/two/rgb/b.png", "drives/one/depth/c.png")
    assert sorted(pattern.walk(tmp_path)) == ["one/two/rgb/b", "rgb/a"]


def test_two_stars_within_a_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images is 'a/\*\*_rgb\.png'; \*\* stands for whole folders"):
        PathPattern("a/**_rgb.png", SUFFIXES, "images")


def test_a_linked_folder_is_followed_and_a_loop_is_named(tmp_path: Path) -> None:
    _touch(tmp_path, "elsewhere/a.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "again").symlink_to(tmp_path / "elsewhere")
    assert sorted(walk_files(tmp_path / "root")) == ["again/a.png", "link/a.png"]
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path / "root")
    with pytest.raises(ValueError, match=r"up is a link that leads back to .*root, so that its files have no"):
        list(walk_files(tmp_path / "root"))


def test_names_that_are_no_text_are_files_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/images/\xff.png")).touch()
    pattern = PathPattern("images", SUFFIXES, "images")
    (name,) = pattern.walk(tmp_path)
    assert pattern.find(tmp_path, pattern.captures(name) or ()) is not None


PARTS = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=8)


@given(PARTS, PARTS, PARTS)
def test_any_name_leads_back_to_its_path(split: str, city: str, frame: str) -> None:
    path = f"leftImg8bit/{split}/{city}/{frame}_leftImg8bit.png"
    name = CITY.name(path)
    assert name == f"{split}/{city}/{frame}"
    captures = CITY.captures(name)
    assert captures == (split, city, frame)
    assert list(CITY.paths(captures)) == [path]

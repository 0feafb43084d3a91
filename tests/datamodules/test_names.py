from pathlib import Path

import pytest

from datamodules.names import nearest, read_list, shuffled, split_names


def test_lists_take_names_with_and_without_suffix(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("# ours\n\na\n  sub/b.JPG  # twice labelled\nc.v2\n", encoding="utf-8")
    assert read_list(path) == {"a": 3, "sub/b": 4, "c.v2": 5}


def test_a_name_listed_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("a\nb\na.png\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"train\.txt, line 3: 'a' stands in line 1 already"):
        read_list(path)


def test_nearest_name() -> None:
    assert nearest("leaf_1", ["root_1", "leaf_01"]) == " The nearest is 'leaf_01'."
    assert nearest("leaf_1", ["xyz"]) == ""


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 20, 101])
def test_splits_are_disjoint_complete_and_sized(count: int) -> None:
    names = [f"image_{index}" for index in range(count)]
    splits = split_names(names, seed=0)
    assert sorted(splits["train"] + splits["val"] + splits["test"]) == sorted(names)
    held_out = 0 if count < 3 else max(1, round(0.15 * count))
    assert len(splits["val"]) == len(splits["test"]) == held_out
    assert all(split == sorted(split) for split in splits.values())


def test_split_depends_on_seed_and_names_alone() -> None:
    names = [f"image_{index}" for index in range(20)]
    assert split_names(names, 1) == split_names(reversed(names), 1)
    assert split_names(names, 1) != split_names(names, 2)


def test_order_is_the_same_on_every_machine() -> None:
    assert shuffled(["a", "b", "c", "d", "e"], seed=0) == ["c", "b", "e", "d", "a"]

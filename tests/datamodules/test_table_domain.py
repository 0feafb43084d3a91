import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules.table_domain import TableDomain

MakeFolder = Callable[..., Path]


def _table(folder: Path, text: str, name: str = "table.csv", **options: object) -> TableDomain:
    (folder / name).write_text(text, encoding="utf-8")
    return TableDomain(str(folder / name), **options)  # type: ignore[arg-type]


def test_a_csv_names_images_masks_splits_and_groups(make_folder: MakeFolder) -> None:
    root = make_folder(count=4)
    rows = [
        ("images/target_00.png", "masks/target_00.png", "train", "drive 0"),
        ("images/target_01.png", "masks/target_01.png", "val", "drive 1"),
        ("images/target_02.png", "", "train", "drive 0"),
        ("images/target_03.png", "masks/target_03.png", "test", "drive 1"),
    ]
    domain = _table(root, "image, mask,split ,group\n" + "\n".join(map(",".join, rows)))
    assert domain.names("train") == ["images/target_00", "images/target_02"]
    assert domain.names("val") == ["images/target_01"]
    assert [domain.has_mask(name) for name in domain.images] == [True, True, False, True]
    assert domain.group("images/target_03") == "drive 1"
    assert domain.read_image("images/target_00").shape == (12, 16, 3)
    assert domain.read_mask("images/target_00").shape == (12, 16)
    assert domain.files("images/target_02") == [root / "images/target_02.png"]
    with pytest.raises(FileNotFoundError, match=r"image 'images/target_02' has no mask: the mask of .*table\.csv"):
        domain.read_mask("images/target_02")
    assert pickle.loads(pickle.dumps(domain)).names("train") == domain.names("train")


def test_json_lines_say_the_same_as_csv(make_folder: MakeFolder) -> None:
    root = make_folder(count=3)
    rows = [{"image": f"images/target_{index:02d}.png", "mask": f"masks/target_{index:02d}.png"} for index in range(3)]
    lines = "\n".join(map(json.dumps, rows))
    csv = "image,mask\n" + "\n".join(",".join(row.values()) for row in rows)
    assert _table(root, lines, "t.jsonl").names("val") == _table(root, csv).names("val")
    assert _table(root, json.dumps({**rows[0], "mask": None}), "t.jsonl").has_mask("images/target_00") is False


def test_a_list_file_has_an_image_or_an_image_and_its_mask_on_a_line(make_folder: MakeFolder) -> None:
    root = make_folder(count=3)
    (root / "images/target_02.png").rename(root / "images/der Wald.png")
    pairs = ["images/target_00.png masks/target_00.png", "images/der Wald.png\tmasks/target_02.png"]
    domain = _table(root, "\n".join(["# frames", pairs[0], "images/target_01.png", "", pairs[1]]), "train.lst")
    assert list(domain.images) == ["images/der Wald", "images/target_00", "images/target_01"]
    assert [domain.has_mask(name) for name in domain.images] == [True, True, False]


def test_paths_start_from_a_root_and_names_never_lead_out_of_a_folder(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder(count=2)
    (tmp_path / "lists").mkdir()
    text = f"image\nimages/target_00.png\n{root / 'images/target_01.png'}\n"
    domain = _table(tmp_path / "lists", text, root=str(root))
    assert domain.images[0] == "images/target_00"
    assert not domain.images[1].startswith("/")
    assert domain.read_image(domain.images[1]).shape == (12, 16, 3)
    beside = _table(tmp_path / "lists", "image\n../target/images/target_00.png\n")
    assert list(beside.images) == ["target/images/target_00"]


def test_groups_of_a_column_stay_together(make_folder: MakeFolder) -> None:
    root = make_folder(count=12)
    rows = "".join(f"images/target_{index:02d}.png,masks/target_{index:02d}.png,{index // 3}\n" for index in range(12))
    domain = _table(root, "image,mask,group\n" + rows)
    held = [{domain.group(name) for name in domain.names(split)} for split in ("train", "val", "test")]
    assert [len(groups) for groups in held] == [2, 1, 1]
    assert not held[0] & held[1] and not held[1] & held[2] and not held[0] & held[2]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "image,label\n", r"line 1: the columns are image, label; there must be image, and there can be mask"),
        ("a.csv", "path\na.png\n", r"line 1: the columns are path; there must be image"),
        ("a.csv", "", r"line 1: the columns are"),
        ("a.csv", "image;mask\n", r"line 1: cells are separated by semicolons; separate them by commas"),
        ("a.csv", "image,mask,mask\n", r"line 1: the columns are image, mask, mask; there must be .* each once"),
        ("a.tsv", "image\tmask\n", r"a\.tsv is no \.csv, no \.jsonl and no list of files \(\.txt"),
        ("a.csv", "image\n", r"a\.csv lists no image"),
        ("a.csv", "image\nimages/target_00.png\nimages/nowhere.png\n", r"line 3: image .*nowhere\.png does not exist"),
        ("a.csv", "image,mask\nimages/target_00.png,masks/x.png\n", r"line 2: mask .*x\.png does not exist"),
        ("a.csv", "image,split\nimages/target_00.png,training\n", r"line 2: split is 'training'; splits are train"),
        ("a.csv", "image,mask\n,a.png\n", r"line 2: there is no image"),
        ("a.csv", "image\nimages/target_00.png,b\n", r"line 2: there are more cells than columns"),
        (
            "a.csv",
            "image,split\nimages/target_00.png,train\nimages/target_01.png,\n",
            r"line 3: split is empty, but other rows have one",
        ),
        (
            "a.csv",
            "image\nimages/target_00.png\n./images/target_00.png\n",
            r"lines 2 and 3: both are the image 'images/target_00'",
        ),
        ("a.jsonl", '{"image": "images/target_00.png"}\n{image}\n', r"line 2: this is no JSON"),
        ("a.jsonl", "[1]\n", r"line 1: this is no object with the keys image, mask, split, group"),
        ("a.txt", "images/target_09.png\n", r"line 1: image .*target_09\.png does not exist"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(make_folder: MakeFolder, name: str, text: str, message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        _ = _table(make_folder(count=2), text, name).images


def test_a_table_that_does_not_exist_names_the_nearest(make_folder: MakeFolder) -> None:
    root = make_folder(count=1)
    (root / "frames.csv").touch()
    with pytest.raises(FileNotFoundError, match=r"table '.*frame\.csv' does not exist .*nearest is 'frames\.csv'"):
        _ = TableDomain(str(root / "frame.csv")).images

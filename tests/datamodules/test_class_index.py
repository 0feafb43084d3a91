import os
import signal
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.class_index import class_counts, count_ids


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache" / "deep"
    monkeypatch.setenv("SEGUE_CACHE", str(folder))
    return folder


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    folder = tmp_path / "masks"
    folder.mkdir()
    for number in range(4):
        write(folder, f"m{number}", [[number, 0, 255], [2, 2, 255]])
    return folder


NAMES = ["m0", "m1", "m2", "m3"]
EXPECTED = [[2, 0, 2, 0], [1, 1, 2, 0], [1, 0, 3, 0], [1, 0, 2, 1]]


def write(folder: Path, name: str, ids: Sequence[Sequence[int]]) -> None:
    cv2.imwrite(str(folder / f"{name}.png"), np.array(ids, np.uint8))


def read(folder: Path, name: str) -> np.ndarray:
    path = folder / f"{name}.png"
    with (folder.parent / "opened.txt").open("a") as opened:
        opened.write(f"{name}\n")
    if not path.is_file():
        raise FileNotFoundError(f"image {name!r} has no mask: {path} does not exist.")
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if mask is None:
        raise ValueError(f"mask {path} is broken.")
    return mask


def as_they_are(ids: np.ndarray, name: str) -> np.ndarray:
    return ids


def count(folder: Path, names: Sequence[str] = NAMES, *, classes: int = 4, **other: Any) -> list[list[int]]:
    arguments = {
        "read_mask": partial(read, folder),
        "to_classes": as_they_are,
        "mask_file": lambda name: folder / f"{name}.png",
        "key": "leaves",
        "title": "source",
        "workers": 0,
        **other,
    }
    return class_counts(names, classes, **arguments).tolist()


def opened(folder: Path) -> list[str]:
    """The masks opened since this was asked last, in any order."""
    path = folder.parent / "opened.txt"
    names = sorted(path.read_text().split()) if path.exists() else []
    path.write_text("")
    return names


@settings(deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 400)), min_size=1, max_size=60),
    wide=st.booleans(),
)
def test_ids_are_counted_like_any_numbers(runs: list[tuple[int, int]], wide: bool) -> None:
    mask = np.concatenate([np.full(length, number % (301 if wide else 256)) for number, length in runs])[None]
    mask = mask.astype(np.uint16 if wide else np.uint8)
    ids, pixels = count_ids(mask)
    expected_ids, expected_pixels = np.unique(mask, return_counts=True)
    assert ids.dtype == mask.dtype
    assert (ids.tolist(), pixels.tolist()) == (expected_ids.tolist(), expected_pixels.tolist())


def test_masks_larger_than_what_is_counted_at_once_and_noisy_ones() -> None:
    mask = np.random.default_rng(0).integers(0, 7, (1500, 1501), dtype=np.uint8)
    mask[:1400] = 3
    np.testing.assert_array_equal(count_ids(mask)[1], np.bincount(mask.ravel()))
    np.testing.assert_array_equal(count_ids(mask[:, ::2])[1], np.bincount(mask[:, ::2].ravel()))


def test_counts_are_those_of_the_classes_and_ignored_pixels_are_in_none(masks: Path) -> None:
    assert count(masks) == EXPECTED
    assert count(masks, ["m3", "m0"]) == [EXPECTED[3], EXPECTED[0]]
    assert count(masks, []) == []


def test_several_ids_can_be_one_class(masks: Path) -> None:
    def merged(ids: np.ndarray, name: str) -> np.ndarray:
        return np.where(ids == 255, 255, np.minimum(ids, 1))

    assert count(masks, classes=2, to_classes=merged) == [[2, 2], [1, 3], [1, 3], [1, 3]]


def test_workers_count_the_same_as_this_process(masks: Path) -> None:
    names = [NAMES[index % 4] for index in range(70)]
    assert count(masks, names, workers=2) == [EXPECTED[index % 4] for index in range(70)]


def test_what_was_counted_is_not_opened_again(masks: Path) -> None:
    count(masks)
    assert opened(masks) == NAMES
    assert count(masks) == EXPECTED
    assert count(masks, ["m2"]) == EXPECTED[2:3]
    assert opened(masks) == []


def test_files_that_changed_and_new_ones_alone_are_counted(masks: Path) -> None:
    count(masks)
    opened(masks)
    write(masks, "m1", [[3, 3, 3], [3, 3, 3]])
    write(masks, "new", [[0]])
    (masks / "m2.png").unlink()
    names = ["new", "m0", "m1", "m3"]
    expected = [[1, 0, 0, 0], EXPECTED[0], [0, 0, 0, 6], EXPECTED[3]]
    assert count(masks, names) == expected
    assert opened(masks) == ["m1", "new"]
    assert count(masks, names) == expected
    assert opened(masks) == []


def test_a_file_of_the_same_size_but_another_time_is_counted_anew(masks: Path) -> None:
    count(masks)
    opened(masks)
    before = (masks / "m0.png").stat()
    os.utime(masks / "m0.png", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    count(masks)
    assert opened(masks) == ["m0"]


def test_another_key_and_other_classes_have_counts_of_their_own(masks: Path) -> None:
    count(masks)
    opened(masks)
    count(masks, key="other map")
    assert opened(masks) == NAMES
    assert count(masks, classes=5) == [[*row, 0] for row in EXPECTED]


def test_masks_in_no_file_are_counted_every_time(masks: Path, cache: Path) -> None:
    for _ in range(2):
        assert count(masks, mask_file=lambda name: None) == EXPECTED
        assert opened(masks) == NAMES
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["cut off", "a flipped byte", "empty", "text", "another archive"])
def test_a_damaged_cache_is_counted_anew(masks: Path, cache: Path, damage: str) -> None:
    count(masks)
    opened(masks)
    (file,) = cache.iterdir()
    data = bytearray(file.read_bytes())
    data[data.rindex(bytes(np.array([2, 0, 2, 0], np.uint32)))] ^= 1
    file.write_bytes({"cut off": data[: len(data) // 2], "a flipped byte": data, "text": b"counts"}.get(damage, b""))
    if damage == "another archive":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("stamps.npy", b"no array")
    assert count(masks) == EXPECTED
    assert opened(masks) == NAMES
    assert count(masks) == EXPECTED
    assert opened(masks) == []


def test_a_cache_that_cannot_be_written_is_a_warning(
    masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=r"cannot be kept .* SEGUE_CACHE"):
        assert count(masks) == EXPECTED


def test_where_the_cache_is(masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("SEGUE_CACHE", "")
    count(masks)
    monkeypatch.delenv("XDG_CACHE_HOME")
    count(masks)
    first, second = (list((tmp_path / folder / "segue").iterdir()) for folder in ("caches", "home/.cache"))
    assert [file.name for file in first] == [file.name for file in second]
    assert len(first) == 1  # and nothing that was written aside is left


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_mask_is_an_error_that_names_it_and_the_others_stay_counted(masks: Path, workers: int) -> None:
    names = [f"n{index:02d}" for index in range(80)]
    for name in names:
        write(masks, name, [[0]])
    (masks / "n70.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"^mask .*n70\.png is broken\.$"):
        count(masks, names, workers=workers)
    opened(masks)
    write(masks, "n70", [[1]])
    counted = count(masks, names, workers=workers)
    assert counted == [[0, 1, 0, 0] if name == "n70" else [1, 0, 0, 0] for name in names]
    assert opened(masks) == names[64:]


def test_a_missing_mask_and_an_id_that_is_no_class_are_errors(masks: Path) -> None:
    with pytest.raises(FileNotFoundError, match="image 'gone' has no mask"):
        count(masks, ["m0", "gone"])
    with pytest.raises(ValueError, match=r"mask m3 holds class id 3; classes are 0 to 2 and 255"):
        count(masks, classes=3)


def test_an_id_without_a_class_is_said_as_in_training(masks: Path) -> None:
    def to_classes(ids: np.ndarray, name: str) -> np.ndarray:
        if (ids == 2).any():
            raise ValueError(f"mask {name} holds 2 in {(ids == 2).sum()} pixels")
        return ids

    with pytest.raises(ValueError, match="mask m0 holds 2 in 2 pixels"):
        count(masks, to_classes=to_classes)


def kill(name: str) -> np.ndarray:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.alone
def test_a_killed_worker_ends_the_count_and_says_where(masks: Path) -> None:
    names = [f"n{index}" for index in range(70)]
    with pytest.raises(ChildProcessError, match=r"last image it took in hand was source mask n(0|16)[.;]"):
        count(masks, names, workers=2, read_mask=kill)


def test_the_random_state_does_not_depend_on_the_cache(masks: Path) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        count(masks)
        states.append(torch.rand(3).tolist())
    torch.manual_seed(0)
    assert states == [torch.rand(3).tolist()] * 2

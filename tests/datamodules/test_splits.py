from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.splits import NO_SPLIT, check_shares, read_list, shuffled, split_by_lists, split_by_shares

SHARES = (0.7, 0.15, 0.15)


def test_a_list_has_names_with_or_without_suffix(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    text = "# drives\n#\na.jpg\n sub/b.PNG # the second\nc.v2\nd.tif\np#1\n#2.png\n"
    path.write_text(text, encoding="utf-8-sig")
    assert read_list(path) == {"a": 3, "sub/b": 4, "c.v2": 5, "d": 6, "p#1": 7, "#2": 8}


def test_a_name_listed_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("a.jpg\nb\na\n")
    with pytest.raises(ValueError, match=r"train\.txt, line 3: 'a' stands in line 1 already"):
        read_list(path)


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ValueError, match=r"train\.txt is not UTF-8 text"):
        read_list(path)


def test_an_order_never_changes() -> None:
    assert shuffled(["a", "b", "c", "d", "e"], seed=0) == ["c", "b", "e", "d", "a"]


def _split(names: list[str], groups: list[str] | None = None, seed: int = 0, **options: object) -> dict[str, int]:
    labelled = np.array(options.get("labelled", [True] * len(names)), dtype=np.bool_)
    shares = options.get("shares", SHARES)
    numbers = split_by_shares(labelled, groups or names, shares, seed)  # type: ignore[arg-type]
    return dict(zip(names, numbers.tolist(), strict=True))


@pytest.mark.parametrize(("count", "sizes"), [(0, (0, 0, 0)), (2, (2, 0, 0)), (3, (1, 1, 1)), (20, (14, 3, 3))])
def test_splits_are_of_the_sizes_asked_for(count: int, sizes: tuple[int, int, int]) -> None:
    found = list(_split([f"{index:02d}" for index in range(count)]).values())
    assert tuple(found.count(split) for split in range(3)) == sizes


def test_splits_of_former_runs_stay_as_they_were() -> None:
    found = _split([f"{index:02d}" for index in range(20)])
    assert [name for name, split in found.items() if split == 1] == ["05", "10", "16"]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=60),
    st.integers(0, 3),
    st.sampled_from([SHARES, (0.5, 0.5, 0.0), (0.98, 0.01, 0.01), (1.0, 0.0, 0.0), (0.1, 0.0, 0.9)]),
)
def test_groups_are_never_torn_whatever_the_groups(
    images: list[tuple[int, bool]], seed: int, shares: tuple[float, float, float]
) -> None:
    names = [f"{index:03d}" for index in range(len(images))]
    groups = [f"drive {group}" for group, _ in images]
    labelled = [has_mask for _, has_mask in images]
    found = _split(names, groups, seed, labelled=labelled, shares=shares)
    by_group: dict[str, set[int]] = {}
    for name, group, has_mask in zip(names, groups, labelled, strict=True):
        by_group.setdefault(group, set()).add(found[name])
        if has_mask:
            assert found[name] != NO_SPLIT
        else:
            assert found[name] in (0, NO_SPLIT)
    for group, splits in by_group.items():
        assert len(splits - {NO_SPLIT}) == 1 or splits == {NO_SPLIT}, group
        # Frames without a mask of a drive that is held out are not trained on.
        assert NO_SPLIT not in splits or 0 not in splits
    with_labels = {group for group, has_mask in zip(groups, labelled, strict=True) if has_mask}
    held_out = {split for split in found.values() if split in (1, 2)}
    if len(with_labels) >= 3:
        assert held_out == {split for split in (1, 2) if shares[split]}
    assert all(shares[split] for split in held_out)


def test_a_large_group_does_not_take_the_place_of_many_small_ones() -> None:
    groups = ["large"] * 97 + ["a", "b", "c"]
    names = [f"{index:03d}" for index in range(100)]
    for seed in range(6):
        found = _split(names, groups, seed)
        assert all(found[name] == 0 for name in names[:97])
        assert {1, 2} <= {found[name] for name in names[97:]}


@given(st.permutations([f"{index:02d}" for index in range(12)]), st.integers(0, 2))
def test_a_split_does_not_depend_on_the_order_of_the_names(names: list[str], seed: int) -> None:
    assert _split(names, seed=seed) == _split(sorted(names), seed=seed)


def test_another_seed_is_another_split() -> None:
    names = [f"{index:02d}" for index in range(20)]
    assert _split(names, seed=0) != _split(names, seed=1)


def test_lists_say_what_is_where() -> None:
    found = split_by_lists(["a", "b", "c", "d"], {"train": ["c"], "test": {"a": 1, "d": 2}})
    assert found.tolist() == [2, NO_SPLIT, 0, 2]


@pytest.mark.parametrize("shares", [(0.7, 0.3), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (0.0, 0.5, 0.5)])
def test_wrong_shares_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"shares is .*; give the shares of train, val and test"):
        check_shares(shares)

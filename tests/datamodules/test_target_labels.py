from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.domain import Domain, IdArray, ImageArray
from datamodules.folder_domain import FolderDomain
from datamodules.target_labels import Groups, Share, choose_labels, parse_labels

MakeFolder = Callable[..., Path]


class Drives(Domain):
    """Frames of drives, every third without a mask."""

    def names(self, split: str) -> list[str]:
        return [f"drive_{number % 5}/{number:02d}" for number in range(30)]

    def has_mask(self, name: str) -> bool:
        return int(name[-2:]) % 3 != 2

    def group(self, name: str) -> str:
        return name.partition("/")[0]

    def read_image(self, name: str) -> ImageArray:
        raise NotImplementedError

    def read_mask(self, name: str) -> IdArray:
        raise NotImplementedError


def _chosen(labels: object, seed: int = 0) -> list[str]:
    domain = Drives()
    parsed = parse_labels(labels)  # type: ignore[arg-type]
    assert parsed != "none"
    return choose_labels(parsed, domain.names("train"), domain, seed)


@pytest.mark.parametrize(
    ("spelled", "parsed"),
    [
        (None, "none"),
        (0, "none"),
        ("0", "none"),
        ("all", "all"),
        (12, 12),
        ("12", 12),
        ("5%", Share(0.05)),
        ("12.5 %", Share(0.125)),
        (0.05, Share(0.05)),
        ("0.05", Share(0.05)),
        (".05", Share(0.05)),
        ("100%", Share(1.0)),
        ("3 groups", Groups(3)),
        ("1 group", Groups(1)),
        ("lists/5%.txt", Path("lists/5%.txt")),
    ],
)
def test_labels_are_spelled_in_many_ways(spelled: object, parsed: object) -> None:
    assert parse_labels(spelled) == parsed  # type: ignore[arg-type]


@pytest.mark.parametrize("spelled", [-1, "-3", "0%", "101%", "-5%", 1.5, 1.0, "1.0", 12.0, "0 groups", -0.5])
def test_numbers_out_of_bounds_are_refused(spelled: object) -> None:
    with pytest.raises(ValueError, match=r"data\.labels is .*; (a|write)"):
        parse_labels(spelled)  # type: ignore[arg-type]


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999), st.integers(0, 3))
def test_the_smaller_share_lies_within_the_larger(one: float, other: float, seed: int) -> None:
    smaller, larger = (_chosen(share, seed) for share in sorted([one, other]))
    assert set(smaller) <= set(larger)
    assert len(larger) == max(1, round(max(one, other) * 20))  # 20 of the 30 have a mask
    assert all(Drives().has_mask(name) for name in larger)


def test_another_seed_takes_others() -> None:
    assert _chosen("50%") == _chosen(10) != _chosen("50%", seed=1)


def test_groups_are_taken_whole_and_the_fewer_within_the_more() -> None:
    chosen = [_chosen(f"{number} groups") for number in (1, 2, 5)]
    groups = [{name.partition("/")[0] for name in names} for names in chosen]
    assert [len(of_choice) for of_choice in groups] == [1, 2, 5]
    assert groups[0] < groups[1] < groups[2]
    for names, of_choice in zip(chosen, groups, strict=True):
        wanted = [name for name in Drives().names("train") if Drives().has_mask(name) and name[:7] in of_choice]
        assert sorted(names) == sorted(wanted)
    with pytest.raises(ValueError, match=r"data\.labels is 6 groups, but the labelled images of target/train are of 5"):
        _chosen("6 groups")


def test_groups_of_one_image_each_are_a_mistake(make_folder: MakeFolder) -> None:
    domain = FolderDomain(str(make_folder(count=4)))
    with pytest.raises(ValueError, match=r"every labelled image of target/train is a group of its own. Set group of"):
        choose_labels(Groups(2), domain.images, domain, 0)


def test_a_share_of_nothing_is_refused(make_folder: MakeFolder) -> None:
    domain = FolderDomain(str(make_folder(count=4, masks=[])))
    with pytest.raises(ValueError, match=r"data\.labels is 0\.05, but target/train has no image with a mask"):
        choose_labels(Share(0.05), domain.images, domain, 0)

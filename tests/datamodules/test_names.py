import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.names import Names, nearest, some

# What a file system can hold: any text but for the separator, and bytes that are no text, as Python spells them.
NAMES = st.lists(st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"])) | st.just("\udcff"))


@given(NAMES)
def test_names_are_a_list_in_little_memory(names: list[str]) -> None:
    found = Names(names)
    assert found == names
    assert [found[index] for index in range(-len(names), len(names))] == names + names
    assert list(found[1:-1]) == names[1:-1]
    assert list(found[::-2]) == names[::-2]
    assert pickle.loads(pickle.dumps(found)) == names
    with pytest.raises(IndexError, match=f"there are {len(names)} names"):
        found[len(names)]


@given(NAMES, st.text(max_size=2))
def test_a_name_is_found_where_a_list_has_it(names: list[str], wanted: str) -> None:
    names = sorted(set(names))
    found = Names(names)
    for name in [*names, wanted]:
        assert found.find(name) == (names.index(name) if name in names else None)


def test_many_names_are_all_there() -> None:
    names = [f"drive_{number:06d}" for number in range(10_000)]
    found = Names(names)
    assert list(found) == names
    assert len(pickle.dumps(found)) < 20 * len(names)


def test_equal_is_what_has_the_same_names() -> None:
    assert Names(["a", "b"]) == ["a", "b"]
    assert Names(["a"]) != ["a", "b"]
    assert Names(["a"]) != "a"


def test_nearest_name_is_suggested_only_if_one_is_near() -> None:
    assert nearest("frame_01", ["frame_10", "frame_1", "other"]) == " The nearest is 'frame_1'."
    assert nearest("frame_01", ["zebra"]) == ""


def test_some_names_say_how_many_there_are() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some(Names("abcdefg")) == "a, b, c, d, e and 2 more"

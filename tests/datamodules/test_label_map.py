import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.batch import IGNORE
from datamodules.label_map import LabelMap

RUN = ["road", "car", "sky"]
CITY = {7: "road", 11: "building", 23: "sky", 26: "car", 27: "truck"}


def _map(label_map: LabelMap, *ids: int, dtype: type = np.uint8) -> list[int]:
    return label_map(np.array([ids], dtype=dtype), "target mask a")[0].tolist()


def test_ids_of_the_run_stay_as_they_are() -> None:
    label_map = LabelMap(None, {}, RUN)
    assert _map(label_map, 0, 2, 1, 255) == [0, 2, 1, 255]
    assert label_map.reached == [0, 1, 2]


def test_classes_meet_by_name() -> None:
    label_map = LabelMap(CITY, {"truck": "car", "building": "ignore"}, RUN)
    assert _map(label_map, 7, 11, 23, 26, 27, 255) == [0, 255, 2, 1, 1, 255]
    assert label_map.reached == [0, 1, 2]


def test_a_class_that_only_the_run_has_is_not_reached() -> None:
    assert LabelMap(["sky", "road"], {}, RUN).reached == [0, 2]
    assert LabelMap(["sky", "road"], {"road": "sky"}, RUN).reached == [2]


def test_a_star_takes_all_that_the_run_does_not_have() -> None:
    label_map = LabelMap(CITY, {"*": "ignore", "truck": "car"}, RUN)
    assert _map(label_map, 7, 11, 23, 26, 27) == [0, 255, 2, 1, 1]
    assert _map(LabelMap(CITY, {"*": "sky"}, RUN), 11, 27) == [2, 2]


def test_rules_go_by_id_and_by_name() -> None:
    assert _map(LabelMap(None, {255: 1, "road": 2, 9: "ignore"}, RUN), 0, 1, 9, 255) == [2, 1, 255, 1]
    assert _map(LabelMap(None, {"0": "1"}, RUN), 0) == [1]  # as YAML and the command line may spell them


def test_where_ids_have_no_names_a_star_takes_all_without_a_rule() -> None:
    label_map = LabelMap(None, {7: "road", 26: "car", 300: 1, "*": "ignore"}, RUN)
    assert _map(label_map, 0, 1, 7, 26, 99, 255) == [255, 255, 0, 1, 255, 255]
    assert _map(label_map, 0, 7, 300, 301, dtype=np.uint16) == [255, 0, 1, 255]
    assert label_map.reached == [0, 1]
    assert LabelMap(None, {7: "road", "*": "sky"}, RUN).reached == [0, 2]


def test_maps_that_differ_are_told_apart_by_their_text() -> None:
    # Counts of pixels that are kept on disk are found again by it.
    rules: list[dict[int | str, int | str]] = [{}, {1: 0}, {"*": "sky"}, {"*": "ignore"}, {0: 0, 1: 1, 2: 2}]
    texts = [repr(LabelMap(None, one, RUN)) for one in rules]
    assert len(set(texts)) == len(texts) - 1 and texts[0] == texts[-1]


def test_a_class_named_ignore_is_ignored() -> None:
    assert _map(LabelMap(["ignore", "road", "car", "sky"], {}, RUN), 0, 1, 2, 3) == [255, 0, 1, 2]


def test_large_ids_are_never_cut_to_8_bits() -> None:
    label_map = LabelMap({7: "road", 300: "car"}, {1000: "sky"}, RUN)
    assert _map(label_map, 7, 300, 1000, 255, dtype=np.uint16) == [0, 1, 2, 255]
    with pytest.raises(ValueError, match=r"target mask a holds class id 263 in 1 pixels"):
        _map(LabelMap({7: "road"}, {}, RUN), 7, 263, dtype=np.uint16)  # 263 = 256 + 7
    with pytest.raises(ValueError, match="holds class id 44 "):
        _map(label_map, 44, dtype=np.uint16)  # 300 − 256


def test_an_unknown_id_is_named_and_counted() -> None:
    with pytest.raises(
        ValueError,
        match=r"target mask a holds class id 3 \(and 42\) in 3 pixels; classes are 0 to 2 and 255 \(ignore\)\. "
        r"Map it in data\.x\.label_map\.",
    ):
        _map(LabelMap(None, {}, RUN, "data.x.label_map"), 0, 3, 42, 3)
    with pytest.raises(ValueError, match=r"holds class id 8 in 1 pixels; known are 7 \(road\), 11 \(building\), 23"):
        _map(LabelMap(CITY, {"*": "ignore"}, RUN), 8)


@pytest.mark.parametrize(
    ("classes", "rules", "message"),
    [
        (CITY, {}, r"the run has no class building, truck; its classes are road, car, sky\. Map each"),
        (CITY, {"*": 255, "trucks": "car"}, r"names 'trucks', which is no class of the domain.*nearest is 'truck'"),
        (CITY, {"*": 255, "truck": "cars"}, r"maps to 'cars', which is neither ignore nor a class.*nearest is 'car'"),
        (CITY, {"*": 255, "truck": 3}, r"maps to class id 3; the run's are 0 to 2, and 255 is ignore"),
        (CITY, {"*": 255, 27: 1, "truck": "car"}, r"has two rules about id 27 \(truck\): by its number and by its"),
        (CITY, {"*": 255, 70000: 1}, r"70000 is no id of a mask; they are 0 to 65535"),
        (CITY, {"*": 255, True: "car"}, r"YAML reads no, off, yes and on as True; put the class name in quotes"),
        (CITY, {"*": 255, "truck": False}, r"YAML reads no, off, yes and on as False"),
        ({0: "1", 1: "road"}, {1: "car", "*": 255}, r"names 1, which is an id and also the name of a class"),
        (None, {7: "road", 26: "car"}, r"maps the ids 7, 26, but says nothing of the others: 0 to 2 would count as"),
        (None, {-1: 0}, r"-1 is no id of a mask"),
        (None, {0: 300}, r"maps to class id 300"),
        ({-1: "plate"}, {"plate": "ignore"}, r"-1 is no id of a mask"),
    ],
)
def test_wrong_rules_are_refused(
    classes: dict[int, str] | None, rules: dict[int | str, int | str], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^some\.label_map.*{message}"):
        LabelMap(classes, rules, RUN, "some.label_map")


@given(
    st.dictionaries(st.integers(0, 400), st.sampled_from([*RUN, "bus", "tree", "ignore"]), max_size=30),
    st.dictionaries(st.integers(0, 400), st.sampled_from([*RUN, "ignore", 0, 1, 2, 255]), max_size=10),
    st.lists(st.integers(0, 450), min_size=1, max_size=40),
)
def test_any_map_says_what_a_table_by_hand_says(
    classes: dict[int, str], by_id: dict[int, int | str], ids: list[int]
) -> None:
    label_map = LabelMap(classes, {**by_id, "*": "ignore"}, RUN)

    def by_hand(id_: int) -> int | None:
        value = by_id.get(id_, classes.get(id_, "ignore" if id_ == IGNORE else None))
        if value is None:
            return None
        return value if isinstance(value, int) else RUN.index(value) if value in RUN else IGNORE

    for dtype, wanted in ((np.uint16, ids), (np.uint8, [id_ for id_ in ids if id_ < 256])):
        known = [id_ for id_ in wanted if by_hand(id_) is not None]
        assert _map(label_map, *known, dtype=dtype) == [by_hand(id_) for id_ in known]
        if len(known) < len(wanted):
            with pytest.raises(ValueError, match="holds class id"):
                _map(label_map, *wanted, dtype=dtype)
    everything = {by_hand(id_) for id_ in range(65536)} - {None, IGNORE}
    assert label_map.reached == sorted(everything)  # type: ignore[type-var]
    assert _map(pickle.loads(pickle.dumps(label_map)), *(sorted(classes)[:1] or [255]), dtype=np.uint16)

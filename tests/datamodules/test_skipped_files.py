import errno
from collections import Counter
from collections.abc import Callable

import pytest

from datamodules.skipped_files import MOST_TRIES, SkippedFile, SkippedFiles, read_or_another

NAMES = [f"image_{index:02d}" for index in range(40)]


def _reader(bad: set[int], error: Callable[[str], Exception] = ValueError) -> Callable[[int], int]:
    def read(index: int) -> int:
        if index in bad:
            raise error(f"{NAMES[index]} is cut off")
        return index

    return read


def _read(bad: set[int], index: int, draw: int = 0, names: list[str] = NAMES) -> tuple[int, list[SkippedFile]]:
    return read_or_another(_reader(bad), names, index, draw=draw, seed=0, stream="source")


def test_a_readable_image_is_read_itself() -> None:
    assert _read({3}, 4) == (4, [])


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, PermissionError])
def test_another_image_takes_the_place_of_an_unreadable_one(error: type[Exception]) -> None:
    found, skipped = read_or_another(_reader({3}, error), NAMES, 3, draw=5, seed=0, stream="source")
    assert found != 3
    assert skipped == [("image_03", "image_03 is cut off")]


def test_the_replacement_depends_on_the_draw_and_favours_no_image() -> None:
    replacements = [_read({3}, 3, draw)[0] for draw in range(2000)]
    assert replacements == [_read({3}, 3, draw)[0] for draw in range(2000)]
    counts = Counter(replacements)
    assert counts.keys() == set(range(40)) - {3}
    # 51 are expected of each, with a standard deviation of 7.
    assert min(counts.values()) > 20 and max(counts.values()) < 85
    other = [read_or_another(_reader({3}), NAMES, 3, draw=draw, seed=0, stream="target")[0] for draw in range(20)]
    assert other != replacements[:20]


def test_the_one_readable_image_of_a_few_is_found() -> None:
    for draw in range(20):
        found, skipped = _read({0, 1, 2, 4}, 1, draw, NAMES[:5])
        assert found == 3
        names = [file.name for file in skipped]
        assert names[0] == "image_01"
        assert len(set(names)) == len(names)


def test_when_no_image_can_be_read_the_error_names_them() -> None:
    with pytest.raises(
        ValueError, match=r"none of 2 images of stream source could be read: image_01, image_00\. .*00 is"
    ):
        _read({0, 1}, 1, names=NAMES[:2])
    with pytest.raises(ValueError, match=f"none of {MOST_TRIES} images .*: image_09, .* and {MOST_TRIES - 5} more"):
        _read(set(range(40)), 9)


@pytest.mark.parametrize(
    "error",
    [MemoryError, KeyboardInterrupt, TypeError, AssertionError, lambda text: OSError(errno.EMFILE, text)],
)
def test_what_is_no_fault_of_the_file_is_raised(error: Callable[[str], Exception]) -> None:
    with pytest.raises(BaseException, match="image_03 is cut off") as caught:
        read_or_another(_reader({3}, error), NAMES, 3, draw=0, seed=0, stream="source")
    assert type(caught.value) is type(error("text"))


def test_each_file_is_warned_of_once_and_all_draws_are_counted(recwarn: pytest.WarningsRecorder) -> None:
    skipped = SkippedFiles()
    assert skipped.summary() is None
    cut, gone = SkippedFile("leaf_1", "leaf_1.png is cut off."), SkippedFile("leaf_2", "there is no image 'leaf_2'.")
    skipped.add("source", [cut])
    skipped.add("source", [gone, cut])
    skipped.add("target", [])
    skipped.add("target", [cut])
    assert [str(warning.message) for warning in recwarn] == [
        "skipped source image leaf_1: leaf_1.png is cut off.",
        "skipped source image leaf_2: there is no image 'leaf_2'.",
        "skipped target image leaf_1: leaf_1.png is cut off.",
    ]
    assert skipped.draws == 4
    assert skipped.summary() == (
        "skipped 4 draws of 3 unreadable files: source image leaf_1 (2 ×), source image leaf_2 (1 ×), "
        "target image leaf_1 (1 ×)."
    )

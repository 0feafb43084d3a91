from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from lightning_app.pictures import class_colors, colorize, difference, overlay, paint_map, panel, to_rgb

CAMVID = ["Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian"]


def test_driving_classes_have_cityscapes_colours_whatever_their_spelling() -> None:
    colors = dict(zip(CAMVID, class_colors(CAMVID), strict=True))
    assert colors["Road"] == (128, 64, 128)
    assert colors["Sky"] == (70, 130, 180)
    assert colors["Car"] == (0, 0, 142)
    assert colors["SignSymbol"] == (220, 220, 0)
    assert class_colors(["traffic sign"]) == class_colors(["Traffic_Sign"]) == [(220, 220, 0)]
    assert class_colors(["pavement"]) == class_colors(["sidewalk"])


def test_a_name_keeps_its_colour_in_another_list() -> None:
    first = class_colors(["background", "leaf", "road"])
    second = class_colors(["sky", "road", "Leaf"])
    assert first[1] == second[2]
    assert first[2] == second[1]


@pytest.mark.parametrize(
    "classes",
    [
        CAMVID,
        ["pavement", "sidewalk", "person", "pedestrian"],
        [f"class {number}" for number in range(20)],
        [f"class_{number}" for number in range(255)],
    ],
)
def test_colours_differ_from_each_other_and_from_ignored_pixels(classes: list[str]) -> None:
    colors = class_colors(classes)
    assert len(set(colors)) == len(classes)
    assert (0, 0, 0) not in colors
    assert colors == class_colors(classes)
    assert all(0 <= channel <= 255 for color in colors for channel in color)
    if len(classes) <= 20:
        assert (
            min(np.abs(np.subtract(*pair)).sum() for pair in combinations(colors, 2)) > 30
        )  # Cityscapes' pole and fence


def test_colorize_paints_classes_and_leaves_ignored_pixels_black() -> None:
    mask = np.array([[0, 1], [255, 0]], dtype=np.uint8)
    painted = colorize(mask, [(1, 2, 3), (4, 5, 6)])
    assert painted.dtype == np.uint8
    assert painted.tolist() == [[[1, 2, 3], [4, 5, 6]], [[0, 0, 0], [1, 2, 3]]]


def test_colorize_refuses_a_class_without_colour() -> None:
    with pytest.raises(ValueError, match="class id 42, but there are colours for 0–1"):
        colorize(np.array([[0, 42]], dtype=np.uint8), [(1, 2, 3), (4, 5, 6)])


def test_overlay_mixes_image_and_colour_except_where_ignored() -> None:
    image = np.full((1, 2, 3), 100, dtype=np.uint8)
    mask = np.array([[0, 255]], dtype=np.uint8)
    assert overlay(image, mask, [(200, 0, 100)]).tolist() == [[[150, 50, 100], [100, 100, 100]]]
    assert overlay(image, mask, [(200, 0, 100)], alpha=0.0).tolist() == image.tolist()
    assert overlay(image, mask, [(200, 0, 100)], alpha=1.0)[0, 0].tolist() == [200, 0, 100]


def test_overlay_refuses_another_size_and_a_strange_alpha() -> None:
    image, mask = np.zeros((4, 4, 3), dtype=np.uint8), np.zeros((4, 5), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"\(4, 4\) and its mask \(4, 5\)"):
        overlay(image, mask, [(1, 2, 3)])
    with pytest.raises(ValueError, match="alpha is 50"):
        overlay(image, mask[:, :4], [(1, 2, 3)], alpha=50)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.array([[[7]]], dtype=np.uint8), [7, 7, 7]),
        (np.array([[[7, 9]]], dtype=np.uint8), [7, 7, 7]),
        (np.array([[[7, 8, 9, 10, 11]]], dtype=np.uint8), [7, 8, 9]),
        (np.array([[[0.0, 0.2, 1.0]]], dtype=np.float32), [0, 51, 255]),
        (np.array([[[1000, 2000, 3000]]], dtype=np.uint16), [0, 128, 255]),
        (np.array([[[-1.0, 0.0, 3.0]]]), [0, 64, 255]),
        (np.array([[[np.nan, 0.0, 1.0]]]), [0, 0, 255]),
    ],
)
def test_any_image_can_be_looked_at(image: np.ndarray, expected: list[int]) -> None:
    shown = to_rgb(image)
    assert shown.dtype == np.uint8
    assert shown[0, 0].tolist() == expected


def example_panel(height: int = 32, row_labels: list[str] | None = None, rows: int = 2) -> Image.Image:
    image = np.full((height, 2 * height, 3), 90, dtype=np.uint8)
    mask = np.zeros((height, 2 * height), dtype=np.uint8)
    mask[:, height:] = 8
    mask[: height // 4] = 255
    return panel([[image, mask]] * rows, ["image", "truth"], CAMVID, class_colors(CAMVID), row_labels)


def colours_in(picture: Image.Image) -> set[tuple[int, ...]]:
    return set(map(tuple, np.asarray(picture).reshape(-1, 3).tolist()))


def test_a_panel_shows_images_and_masks_at_one_height_and_a_legend_of_what_occurs() -> None:
    picture = example_panel()
    colors = dict(zip(CAMVID, class_colors(CAMVID), strict=True))
    found = colours_in(picture)
    assert {(90, 90, 90), colors["Sky"], colors["Car"], (0, 0, 0)} <= found
    assert not {colors["Tree"], colors["Road"]} & found
    # Two columns twice as wide as high, two rows; nothing is drawn over the edge.
    assert picture.width > 4 * 240
    assert picture.height > 2 * 240
    assert (np.asarray(picture)[:, [0, -1]] == 255).all()
    assert (np.asarray(picture)[[0, -1]] == 255).all()


def test_a_panel_grows_by_rows_and_labels_and_not_by_the_size_of_the_images() -> None:
    assert example_panel(height=16).size == example_panel(height=64).size
    assert example_panel(rows=3).height - example_panel(rows=2).height == 250
    assert example_panel(row_labels=["day", "dusk"]).width > example_panel().width


def test_wrong_pixels_have_the_colour_of_what_was_predicted_and_right_ones_are_faint() -> None:
    image = np.full((1, 4, 3), (0, 100, 200), dtype=np.uint8)
    truth, prediction = np.array([[0, 1, 1, 255]], dtype=np.uint8), np.array([[0, 0, 1, 0]], dtype=np.uint8)
    [right, wrong, also_right, ignored] = difference(image, truth, prediction, [(10, 20, 30), (40, 50, 60)])[0].tolist()
    assert right == also_right == [200, 200, 200]  # a little less than half way from white to the grey of 100
    assert wrong == [10, 20, 30]
    assert ignored == [0, 0, 0]


def test_maps_become_brighter_from_0_to_1_wherever_they_are_cut_off() -> None:
    brightness = paint_map(np.linspace(0, 1, 9)[None]) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(brightness) > 10).all()
    assert np.array_equal(paint_map(np.array([[-1.0, 2.0]])), paint_map(np.array([[0.0, 1.0]])))


def test_a_panel_with_a_map_says_what_its_colours_mean() -> None:
    image, values = np.zeros((24, 24, 3), np.uint8), np.full((24, 24), 0.5, np.float32)
    with_map = panel([[image, values]], ["image", "confidence"], ["road"], class_colors(["road"]))
    without = panel([[image, image]], ["image", "confidence"], ["road"], class_colors(["road"]))
    assert with_map.height > without.height
    found = np.array([*colours_in(with_map)])
    for color in paint_map(np.array([[0.1, 0.5, 0.9]]))[0]:
        assert np.abs(found - color).sum(axis=1).min() < 10


def test_of_a_long_label_the_end_is_shown_and_nothing_is_written_over_the_edge() -> None:
    long = [f"target {'folder/' * 20}frame_{number}" for number in (1, 2)]
    first, second = (np.asarray(example_panel(rows=1, row_labels=[label])) for label in long)
    assert first.shape == np.asarray(example_panel(rows=1, row_labels=["a"])).shape
    assert not np.array_equal(first, second)
    assert (first[:36, :38] == 255).all(), "not into the titles"


def test_masks_are_enlarged_without_new_colours() -> None:
    mask = np.random.default_rng(0).integers(0, 2, (7, 5), dtype=np.uint8)
    colors = [(10, 200, 30), (200, 10, 130)]
    tile = np.asarray(panel([[mask]], ["m"], ["a", "b"], colors))[10 + 28 : 10 + 28 + 240, 10:181]
    assert set(map(tuple, tile.reshape(-1, 3).tolist())) == set(colors)


@pytest.mark.parametrize(
    ("rows", "titles", "labels", "message"),
    [
        ([], ["a"], None, "at least one row"),
        ([[np.zeros((4, 4), np.uint8)]], ["a", "b"], None, r"2 titles for rows of \[1\]"),
        ([[np.zeros((4, 4), np.uint8)]], ["a"], ["x", "y"], "2 row labels for 1 rows"),
    ],
)
def test_a_panel_whose_parts_do_not_fit_is_refused(
    rows: list[list[np.ndarray]], titles: list[str], labels: list[str] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        panel(rows, titles, ["road"], class_colors(["road"]), labels)

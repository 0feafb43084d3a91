import pickle

import numpy as np
import pytest

from datamodules.color_table import ColorTable

COLORS = {"road": (128, 64, 128), "sky": (70, 130, 180), "black": (0, 0, 0), "white": [255, 255, 255]}
IDS = {"road": 0, "sky": 3, "black": 255, "white": 1}


def test_every_pixel_gets_the_id_of_its_colour() -> None:
    names = np.random.default_rng(0).choice(list(COLORS), (6, 7))
    image = np.array([[COLORS[name] for name in row] for row in names], np.uint8)
    expected = [[IDS[name] for name in row] for row in names]
    table = ColorTable(COLORS, IDS)
    for view in (image, np.asfortranarray(image), np.ascontiguousarray(image[..., ::-1])[..., ::-1]):
        ids = table(view, "a")
        assert ids.dtype == np.uint8
        assert ids.tolist() == expected


def test_colours_of_no_class_are_named_and_counted() -> None:
    image = np.full((10, 10, 3), (128, 64, 128), np.uint8)
    image[0, :7] = (1, 2, 3)
    image[1, :2] = (3, 2, 1)
    message = (
        r"mask a\.png holds the colour \[1, 2, 3\], which is of no class\. 9 of its 100 pixels have colours of no "
        r"class \(2 different ones\)"
    )
    with pytest.raises(ValueError, match=message):
        ColorTable(COLORS, IDS)(image, "mask a.png")


def test_red_and_blue_are_not_exchanged() -> None:
    with pytest.raises(ValueError, match=r"\[180, 130, 70\]"):
        ColorTable(COLORS, IDS)(np.full((1, 1, 3), (180, 130, 70), np.uint8), "a")


def test_the_large_table_is_not_pickled() -> None:
    table = ColorTable(COLORS, IDS)
    image = np.full((1, 1, 3), (70, 130, 180), np.uint8)
    table(image, "a")
    pickled = pickle.dumps(table)
    assert len(pickled) < 1000
    assert pickle.loads(pickled)(image, "a").tolist() == [[3]]


def test_two_classes_of_one_colour_are_refused() -> None:
    with pytest.raises(ValueError, match=r"classes 'road' and 'street' share the colour \[1, 2, 3\]"):
        ColorTable({"road": (1, 2, 3), "street": (1, 2, 3)}, {"road": 0, "street": 1})


@pytest.mark.parametrize("color", [(0, 0, 256), (-1, 0, 0), (0, 0), (0, 0, 0, 0), (0.5, 0, 0)])
def test_what_is_no_colour_is_refused(color: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"colour of 'road' is .*each 0 to 255"):
        ColorTable({"road": color}, {"road": 0})


def test_a_colour_of_an_unknown_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'raod' has a colour but is not a class; classes are road"):
        ColorTable({"raod": (1, 2, 3)}, {"road": 0})


def test_ids_beyond_8_bits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"class 'road' has the id 256"):
        ColorTable({"road": (1, 2, 3)}, {"road": 256})

"""The synthetic streets: what is drawn, that it never changes, and that looks differ as they are named."""

import multiprocessing
import pickle
from itertools import combinations
from typing import Any, get_args

import numpy as np
import pytest

from datamodules.domain import Split
from datamodules.streets.looks import LookName
from datamodules.synthetic_streets import SyntheticStreets

LOOKS = get_args(LookName)
SPLITS = get_args(Split)


def small(look: Any = "simulator", **settings: Any) -> SyntheticStreets:
    return SyntheticStreets(look, **{"size": (48, 64), "train": 12, "val": 3, "test": 4, **settings})


def draw(domain: SyntheticStreets, name: str) -> tuple[bytes, bytes]:
    return domain.read_image(name).tobytes(), domain.read_mask(name).tobytes()


def test_names_tell_look_split_and_index() -> None:
    domain = small("day")
    assert [len(domain.names(split)) for split in SPLITS] == [12, 3, 4]
    assert domain.names("train")[7] == "day_train_0007"
    assert all(domain.has_mask(name) for split in SPLITS for name in domain.names(split))


def test_a_split_may_be_empty() -> None:
    assert small(val=0).names("val") == []


@pytest.mark.parametrize("look", LOOKS)
def test_image_and_mask_have_the_promised_form(look: LookName) -> None:
    domain = small(look)
    image, mask = domain.read_image(f"{look}_val_0001"), domain.read_mask(f"{look}_val_0001")
    assert image.shape == (48, 64, 3)
    assert mask.shape == (48, 64)
    assert image.dtype == mask.dtype == np.uint8
    assert domain.classes is not None
    assert mask.max() < len(domain.classes)


@pytest.mark.parametrize("look", LOOKS)
def test_a_name_always_gives_the_same_scene(look: LookName) -> None:
    name = f"{look}_train_0003"
    first = draw(small(look), name)
    domain = small(look)
    draw(domain, f"{look}_test_0000")
    assert draw(domain, name) == first
    assert draw(pickle.loads(pickle.dumps(domain)), name) == first
    assert draw(small(look, train=4, val=0), name) == first, "the size of a split changes no scene"


def test_another_process_draws_the_same_scene() -> None:
    name = "dusk_test_0002"
    with multiprocessing.get_context("fork").Pool(1) as pool:
        drawn = pool.apply(draw, (small("dusk"), name))
    assert drawn == draw(small("dusk"), name)


def test_pickles_stay_small() -> None:
    domain = small("fog", train=100_000)
    domain.read_image("fog_train_0000")
    assert len(pickle.dumps(domain)) < 1000


def test_no_scene_is_shared_between_looks_splits_and_seeds() -> None:
    masks = {
        (look, seed, name): domain.read_mask(name)
        for look in LOOKS
        for seed in (0, 1)
        for domain in [small(look, seed=seed)]
        for split in SPLITS
        for name in domain.names(split)[:4]
    }
    for one, other in combinations(masks, 2):
        assert (masks[one] != masks[other]).mean() > 0.02, (one, other)


@pytest.mark.parametrize("look", LOOKS)
def test_every_class_occurs_and_rare_ones_are_rare(look: LookName) -> None:
    domain = SyntheticStreets(look, train=40)
    assert domain.classes is not None
    assert len(domain.classes) >= 8
    masks = np.stack([domain.read_mask(name) for name in domain.names("train")])
    share = dict(
        zip(domain.classes, np.bincount(masks.ravel(), minlength=len(domain.classes)) / masks.size, strict=True)
    )
    assert min(share.values()) > 0.001, share
    assert share["person"] + share["sign"] < 0.03, share
    assert max(share, key=lambda name: share[name]) == "road"


def test_scenes_are_streets() -> None:
    domain = small("day", train=20)
    masks = np.stack([domain.read_mask(name) for name in domain.names("train")])
    assert domain.classes is not None
    road, sky = domain.classes.index("road"), domain.classes.index("sky")
    assert (masks[:, -1] == road).mean() > 0.5
    assert not (masks[:, :12] == road).any()
    assert not (masks[:, 30:] == sky).any()


def test_the_mask_lies_on_the_image() -> None:
    """Without texture, noise and blur, colours change where classes do: shifted masks fit worse in every direction."""
    domain = small("simulator", size=(96, 128))

    def spread_within_classes(shift: tuple[int, int]) -> float:
        total = 0.0
        for name in domain.names("train"):
            image, mask = domain.read_image(name).astype(float), np.roll(domain.read_mask(name), shift, (0, 1))
            inner_image, inner_mask = image[2:-2, 2:-2], mask[2:-2, 2:-2]
            total += sum(
                float(inner_image[inner_mask == number].var(0).sum() * (inner_mask == number).sum())
                for number in np.unique(inner_mask)
            )
        return total

    aligned = spread_within_classes((0, 0))
    assert all(spread_within_classes(shift) > aligned for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)))


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (224, 224), (64, 200), (120, 50)])
def test_any_size_from_the_minimum_up(size: tuple[int, int]) -> None:
    for look in LOOKS:
        domain = small(look, size=size)
        assert domain.read_image(f"{look}_train_0000").shape == (*size, 3)
        assert domain.read_mask(f"{look}_train_0000").shape == size


def test_a_larger_size_shows_the_same_scene_in_finer_detail() -> None:
    small_domain, large_domain = small("day"), small("day", size=(192, 256))
    for name in small_domain.names("test"):
        mask = small_domain.read_mask(name)
        assert (large_domain.read_mask(name)[2::4, 2::4] == mask).mean() > 0.85
        image = large_domain.read_image(name).reshape(48, 4, 64, 4, 3).mean((1, 3))
        assert abs(image.mean() - small_domain.read_image(name).mean()) < 12


def test_looks_differ_as_they_are_named() -> None:
    images = {
        look: np.stack([domain.read_image(name) for name in domain.names("train")]).astype(float)
        for look in LOOKS
        for domain in [SyntheticStreets(look, train=24)]
    }
    brightness = {look: image.mean() for look, image in images.items()}
    contrast = {look: image.mean(-1).std((1, 2)).mean() for look, image in images.items()}
    colour = {look: (image.max(-1) - image.min(-1)).mean() for look, image in images.items()}
    assert brightness["dusk"] < 0.75 * min(brightness[look] for look in LOOKS if look != "dusk")
    assert contrast["fog"] < 0.9 * contrast["day"]
    assert colour["simulator"] == max(colour.values())
    assert colour["fog"] < colour["day"]


def test_fog_hides_the_distance_more_than_the_foreground() -> None:
    """Cars at the bottom of the picture are near, those higher up far away."""

    def contrast(look: LookName, rows: slice) -> float:
        domain = SyntheticStreets(look, train=24)
        return float(np.mean([domain.read_image(name)[rows].mean(-1).std() for name in domain.names("train")]))

    far, near = slice(36, 52), slice(64, 96)
    assert contrast("fog", far) / contrast("day", far) < contrast("fog", near) / contrast("day", near)


def test_the_simulator_has_no_noise_and_the_cameras_have() -> None:
    def grain(look: LookName) -> float:
        domain = small(look, size=(96, 128))
        steps = []
        for name in domain.names("train"):
            image, mask = domain.read_image(name).astype(float), domain.read_mask(name)
            road = (mask[:, 1:] == 0) & (mask[:, :-1] == 0)
            steps.append(np.median(abs(np.diff(image, axis=1))[road]))
        return float(np.mean(steps))

    assert grain("simulator") <= 1
    assert min(grain(look) for look in LOOKS if look != "simulator") > 1


@pytest.mark.parametrize(
    "name", ["night_train_0000", "day_train_0012", "day_train_7", "day_all_0000", "day_train_-001", ""]
)
def test_an_unknown_name_is_a_key_error_that_names_it(name: str) -> None:
    domain = small("day")
    for read in (domain.has_mask, domain.read_image, domain.read_mask):
        with pytest.raises(KeyError, match=f'"{name}".*12 train, 3 val, 4 test'):
            read(name)


def test_an_unknown_look_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match='"dusc"; did you mean "dusk"'):
        small("dusc")


@pytest.mark.parametrize("settings", [{"size": (31, 64)}, {"size": (64, 8)}, {"train": -1}, {"seed": -3}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    (value,) = settings.values()
    with pytest.raises(ValueError, match=str(value).replace("(", r"\(").replace(")", r"\)")):
        small(**settings)


def test_one_class_against_all_others() -> None:
    whole, cars = SyntheticStreets("day"), SyntheticStreets("day", foreground="car")
    name = whole.names("train")[0]
    assert whole.classes is not None and list(cars.classes or ()) == ["background", "car"]
    assert (cars.read_mask(name) == (whole.read_mask(name) == whole.classes.index("car"))).all()
    assert (cars.read_image(name) == whole.read_image(name)).all()
    with pytest.raises(ValueError, match='foreground is "bike"; the classes are road'):
        SyntheticStreets(foreground="bike")

import pickle
from collections.abc import Callable
from typing import Any

import albumentations
import numpy as np
import pytest
from numpy.typing import NDArray

from datamodules.augmentations import Augmentation, Strength
from datamodules.batch import IGNORE
from datamodules.crops import Crop
from datamodules.transforms import ATTEMPTS, TrainTransform

_TURN = albumentations.Affine(rotate=(-20, 20), interpolation=0, p=1)


def _image_and_mask(
    height: int = 20, width: int = 30, channels: int = 3
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    mask = (np.add.outer(np.arange(height), np.arange(width)) % 7).astype(np.uint8)
    return np.repeat(mask[..., None] * 10, channels, axis=2), mask


def _cutter(mask: NDArray[np.uint8], seen: list[Crop] | None = None) -> Callable[[Crop], NDArray[np.uint8]]:
    def cut(crop: Crop) -> NDArray[np.uint8]:
        if seen is not None:
            seen.append(crop)
        return crop.mask(mask, lambda ids: ids)

    return cut


def _transformed(
    transform: TrainTransform, image: NDArray[Any], mask: NDArray[np.uint8], seed: int, **options: Any
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    generator = np.random.default_rng(seed)
    factor = transform.draw_factor(generator)
    result, result_mask = transform(image, mask.shape, factor, generator, cut_mask=_cutter(mask), **options)
    assert result_mask is not None
    return result, result_mask


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("crop", [(8, 8), (20, 30), (16, 40), (50, 50)])
@pytest.mark.parametrize("augmentation", ["none", "driving", "aerial", [albumentations.Affine(rotate=(-20, 20))]])
def test_result_has_the_crop_size_and_type(channels: int, crop: tuple[int, int], augmentation: Augmentation) -> None:
    transform = TrainTransform(crop, (0.5, 2.0), augmentation, channels)
    image, mask = _image_and_mask(channels=channels)
    for seed in range(10):
        for pixels in (image, (image / 255).astype(np.float32)):
            result, result_mask = _transformed(transform, pixels, mask, seed)
            assert result.shape == (*crop, channels)
            assert result.dtype == pixels.dtype
            assert result_mask.shape == crop
            assert set(np.unique(result_mask)) <= {*range(7), IGNORE}


@pytest.mark.parametrize("augmentation", ["none", "driving", "aerial", [_TURN]])
def test_image_and_mask_move_together(augmentation: Augmentation) -> None:
    # A mask painted into the image; where it was not interpolated, both still agree.
    mask = np.zeros((40, 40), np.uint8)
    mask[:20, :20], mask[20:, 20:] = 1, 2
    image = np.repeat(mask[..., None] * 100, 3, axis=2)
    for seed in range(10):
        result, result_mask = _transformed(TrainTransform((24, 24), (0.5, 2.0), augmentation), image, mask, seed)
        counted = result_mask != IGNORE
        assert np.mean(result[..., 0][counted] == result_mask[counted] * 100) > 0.8


@pytest.mark.parametrize("augmentation", ["aerial", [albumentations.SomeOf([albumentations.D4()] * 3, n=2)]])
def test_chance_comes_from_the_generator_alone(augmentation: Augmentation) -> None:
    transform = TrainTransform((16, 16), augmentation=augmentation, strength="strong", largest_class_share=0.2)
    image, mask = _image_and_mask()
    first = _transformed(transform, image, mask, 5)
    _transformed(transform, image, mask, 6)
    again = _transformed(pickle.loads(pickle.dumps(transform)), image, mask, 5)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_parts_of_an_augmentation_fire_independently() -> None:
    # One seed for all would flip exactly the images that it also blurs.
    transform = TrainTransform((8, 8), (1.0, 1.0), strength="strong")
    image = np.full((8, 8, 3), 120, np.uint8)
    mask = np.tile(np.arange(8, dtype=np.uint8), (8, 1))
    seen = set()
    for seed in range(60):
        result, result_mask = _transformed(transform, image, mask, seed)
        seen.add((bool(result_mask[0, 0]), len(np.unique(result[..., 0])) > 1))
    assert len(seen) == 4


def test_a_mask_is_not_made_up() -> None:
    image, _ = _image_and_mask()
    assert TrainTransform((8, 8))(image, (20, 30), 1.0, np.random.default_rng(0))[1] is None


@pytest.mark.parametrize("preset", ["driving", "aerial", "microscopy"])
def test_the_strong_view_of_the_weak_view_is_the_strong_image(preset: Augmentation) -> None:
    image, mask = _image_and_mask()
    transform = TrainTransform((16, 16), augmentation=preset, strength="strong")
    for seed in range(5):
        strong, its_mask = _transformed(transform, image, mask, seed)
        generator = np.random.default_rng(seed)
        factor = transform.draw_factor(generator)
        weak, weak_mask = transform(image, (20, 30), factor, generator, cut_mask=_cutter(mask), weak=True)
        assert set(np.unique(weak[..., 0])) <= set(range(61))  # Nothing but scaled: 60 is the largest value.
        np.testing.assert_array_equal(weak_mask, its_mask)
        np.testing.assert_array_equal(transform.strong_view(weak, generator), strong)


@pytest.mark.parametrize("strength", ["weak", "strong"])
def test_a_list_is_applied_whole_and_its_weak_view_keeps_the_values(strength: Strength) -> None:
    image, mask = _image_and_mask()
    invert, flip = albumentations.Solarize(threshold_range=(0, 0), p=1), albumentations.VerticalFlip(p=1)
    transform = TrainTransform((20, 30), (1, 1), [invert, flip], strength=strength)
    np.testing.assert_array_equal(_transformed(transform, image, mask, 0)[0], 255 - image[::-1])
    weak, _ = _transformed(transform, image, mask, 0, weak=True)
    np.testing.assert_array_equal(weak, image[::-1])
    np.testing.assert_array_equal(transform.strong_view(weak, np.random.default_rng(0)), 255 - image[::-1])


@pytest.mark.parametrize("augmentation", ["none", [], [albumentations.D4()]])
def test_two_views_are_refused_where_they_would_be_one(augmentation: Augmentation) -> None:
    with pytest.raises(ValueError, match=r"Two views are asked for, but data.augmentation holds nothing that changes"):
        TrainTransform((8, 8), augmentation=augmentation).check_strong_view("Two views are asked for")
    TrainTransform((8, 8)).check_strong_view("Two views are asked for")


@pytest.mark.parametrize("preset", ["driving", "aerial"])
@pytest.mark.parametrize("channels", [1, 4])
def test_colour_jitter_is_refused_for_other_than_rgb(channels: int, preset: Augmentation) -> None:
    with pytest.raises(ValueError, match=rf"data.strength is 'strong', and .*{preset}.* data.channels is {channels}"):
        TrainTransform((8, 8), augmentation=preset, strength="strong", channels=channels)
    with pytest.raises(ValueError, match=rf"Two views, and .*{preset}.* needs RGB.* data.channels is {channels}"):
        TrainTransform((8, 8), augmentation=preset, channels=channels).check_strong_view("Two views")


def test_no_class_covers_more_of_a_crop_than_allowed() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 40:] = 1
    mask[50:] = IGNORE
    image = np.repeat(mask[..., None], 3, axis=2)
    shares = {}
    for share in (0.7, 1.0):
        transform = TrainTransform((16, 16), (1, 1), "none", largest_class_share=share)
        shares[share] = []
        for seed in range(40):
            _, found = _transformed(transform, image, mask, seed)
            counted = found[found != IGNORE]
            shares[share].append(max(np.mean(counted == 0), np.mean(counted == 1)) if counted.size else 1.0)
    assert np.mean(np.array(shares[0.7]) <= 0.7) > 0.6 > 0.3 > np.mean(np.array(shares[1.0]) <= 0.7)


def test_a_wanted_class_is_looked_for() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[20:30, 50:60] = 3
    image = np.repeat(mask[..., None], 3, axis=2)
    transform = TrainTransform((24, 24), (1, 1), "none")
    found = {
        wanted: sum(
            np.count_nonzero(_transformed(transform, image, mask, seed, wanted=wanted)[1] == 3) >= 50
            for seed in range(40)
        )
        for wanted in (None, (3, 50))
    }
    assert found[(3, 50)] > 25 > 15 > found[None]


@pytest.mark.parametrize("options", [{"wanted": (5, 1)}, {}])
def test_the_search_ends_after_ten_crops_with_the_last(options: dict[str, Any]) -> None:
    image, mask = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
    image[..., 0], image[..., 1] = np.indices((64, 64))
    transform = TrainTransform((8, 8), (1, 1), "none", largest_class_share=0.75)
    seen: list[Crop] = []
    result, _ = transform(image, (64, 64), 1.0, np.random.default_rng(0), cut_mask=_cutter(mask, seen), **options)
    assert len(seen) == ATTEMPTS == 10
    assert tuple(result[0, 0, :2]) == seen[-1].start


def test_numbers_out_of_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"data.crop is"):
        TrainTransform((0, 8))
    with pytest.raises(ValueError, match=r"data.scale is"):
        TrainTransform((8, 8), scale=(2.0, 1.0))
    with pytest.raises(ValueError, match=r"data.augmentation is 'weak'; known are driving, aerial, microscopy, none"):
        TrainTransform((8, 8), augmentation="weak")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"data.strength is 'week'; known are weak, strong"):
        TrainTransform((8, 8), strength="week")  # type: ignore[arg-type]
    for share in (0.0, 1.1, -0.5, float("nan")):
        with pytest.raises(ValueError, match=r"data.largest_class_share is"):
            TrainTransform((8, 8), largest_class_share=share)

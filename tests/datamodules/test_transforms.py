import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

from datamodules.batch import IGNORE
from datamodules.transforms import Augmentation, TrainTransform, random_crop


def _image_and_mask(
    height: int = 20, width: int = 30, channels: int = 3
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    mask = (np.add.outer(np.arange(height), np.arange(width)) % 7).astype(np.uint8)
    return np.repeat(mask[..., None] * 10, channels, axis=2), mask


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("crop", [(8, 8), (20, 30), (16, 40), (50, 50)])
@pytest.mark.parametrize("augmentation", ["none", "weak"])
def test_result_has_the_crop_size_and_type(channels: int, crop: tuple[int, int], augmentation: Augmentation) -> None:
    transform = TrainTransform(crop, (0.5, 2.0), augmentation, channels)
    image, mask = _image_and_mask(channels=channels)
    for seed in range(10):
        for pixels in (image, (image / 255).astype(np.float32)):
            result, result_mask = transform(pixels, mask, np.random.default_rng(seed))
            assert result.shape == (*crop, channels)
            assert result.dtype == pixels.dtype
            assert result_mask is not None
            assert result_mask.shape == crop
            assert set(np.unique(result_mask)) <= {*range(7), IGNORE}


@pytest.mark.parametrize("augmentation", ["none", "weak"])
def test_image_and_mask_move_together(augmentation: Augmentation) -> None:
    # A mask painted into the image; where it was not interpolated, both still agree.
    mask = np.zeros((40, 40), np.uint8)
    mask[:20, :20], mask[20:, 20:] = 1, 2
    image = np.repeat(mask[..., None] * 100, 3, axis=2)
    for seed in range(10):
        result, result_mask = TrainTransform((24, 24), (0.5, 2.0), augmentation)(
            image, mask, np.random.default_rng(seed)
        )
        assert result_mask is not None
        counted = result_mask != IGNORE
        assert np.mean(result[..., 0][counted] == result_mask[counted] * 100) > 0.8


def test_crop_alone_copies_pixels() -> None:
    image, mask = _image_and_mask()
    result, result_mask = random_crop(image, mask, (6, 7), 1.0, np.random.default_rng(3))
    windows = np.lib.stride_tricks.sliding_window_view(image, (6, 7, 3)).reshape(-1, 6, 7, 3)
    assert (windows == result).all(axis=(1, 2, 3)).any()
    np.testing.assert_array_equal(result[..., 0], result_mask * 10)  # type: ignore[operator]


def test_what_is_added_to_a_small_image_is_ignored() -> None:
    image, mask = _image_and_mask(4, 5)
    result, result_mask = random_crop(image, mask, (10, 12), 1.0, np.random.default_rng(0))
    assert result_mask is not None
    np.testing.assert_array_equal(result_mask[:4, :5], mask)
    assert (result_mask[4:] == IGNORE).all()
    assert (result_mask[:, 5:] == IGNORE).all()
    np.testing.assert_array_equal(result[4:8, :5], image[::-1])


def test_scaling_zooms_by_the_factor() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[::16] = mask[1::16] = 1
    image = np.repeat(mask[..., None], 3, axis=2)
    for factor, count in ((0.5, 4), (1.0, 2), (2.0, 1)):
        _, result = random_crop(image, mask, (32, 32), factor, np.random.default_rng(0))
        assert result is not None
        lines = int((np.diff(result[:, 0].astype(int)) == 1).sum() + result[0, 0])
        assert abs(lines - count) <= 1


def test_chance_comes_from_the_generator_alone() -> None:
    transform = TrainTransform((16, 16), augmentation="strong")
    image, mask = _image_and_mask()
    first = transform(image, mask, np.random.default_rng(5))
    transform(image, mask, np.random.default_rng(6))
    again = pickle.loads(pickle.dumps(transform))(image, mask, np.random.default_rng(5))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_parts_of_an_augmentation_fire_independently() -> None:
    # One seed for all would flip exactly the images that it also blurs.
    transform = TrainTransform((8, 8), (1.0, 1.0), "strong")
    image = np.full((8, 8, 3), 120, np.uint8)
    mask = np.tile(np.arange(8, dtype=np.uint8), (8, 1))
    seen = set()
    for seed in range(60):
        result, result_mask = transform(image, mask, np.random.default_rng(seed))
        assert result_mask is not None
        seen.add((bool(result_mask[0, 0]), len(np.unique(result[..., 0])) > 1))
    assert len(seen) == 4


def test_a_mask_is_not_made_up() -> None:
    image, _ = _image_and_mask()
    assert TrainTransform((8, 8))(image, None, np.random.default_rng(0))[1] is None


@pytest.mark.parametrize("channels", [1, 4])
def test_colour_jitter_is_refused_for_other_than_rgb(channels: int) -> None:
    with pytest.raises(ValueError, match=f"'strong', whose colour jitter needs RGB.*data.channels is {channels}"):
        TrainTransform((8, 8), augmentation="strong", channels=channels)


def test_numbers_out_of_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"data.crop is"):
        TrainTransform((0, 8))
    with pytest.raises(ValueError, match=r"data.scale is"):
        TrainTransform((8, 8), scale=(2.0, 1.0))
    with pytest.raises(ValueError, match=r"data.augmentation is 'week'; known are none, weak, strong"):
        TrainTransform((8, 8), augmentation="week")  # type: ignore[arg-type]

import math

import cv2
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from datamodules.batch import IGNORE
from datamodules.crops import REDUCTIONS, Crop, draw_crop, reduction_for
from datamodules.domain import MaskArray


def as_it_is(mask: NDArray[np.uint8]) -> MaskArray:
    return mask


def coordinates(height: int, width: int) -> NDArray[np.float32]:
    """A picture of where its pixels are: the row and the column of their centres."""
    rows, columns = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    return np.stack([rows, columns], axis=2).astype(np.float32)


def reduced(image: NDArray[np.float32], by: int) -> NDArray[np.float32]:
    height, width = (math.ceil(length / by) for length in image.shape[:2])
    padded = np.pad(image, [(0, height * by - image.shape[0]), (0, width * by - image.shape[1]), (0, 0)], mode="edge")
    return padded.reshape(height, by, width, by, -1).mean(axis=(1, 3))


def test_the_crop_of_an_image_that_is_not_scaled_is_a_slice() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    mask = image[..., 0] % 7
    seen = set()
    for seed in range(200):
        crop = draw_crop((20, 30), (16, 27), 1.0, np.random.default_rng(seed))
        top, left = crop.start
        np.testing.assert_array_equal(crop.image(image), image[top : top + 16, left : left + 27])
        np.testing.assert_array_equal(crop.mask(mask, as_it_is), mask[top : top + 16, left : left + 27])
        seen.add(crop.start)
    assert seen == {(top, left) for top in range(5) for left in range(4)}


@pytest.mark.parametrize("factor", [0.11, 0.125, 0.3, 0.5, 0.7, 1.0, 1.9])
@pytest.mark.parametrize("size", [(403, 517), (256, 320)])
def test_image_and_mask_are_aligned_however_the_image_was_reduced(factor: float, size: tuple[int, int]) -> None:
    image = coordinates(*size)
    for seed in range(5):
        crop = draw_crop(size, (24, 32), factor, np.random.default_rng(seed))
        # Where the centres of the result's pixels are in the whole image.
        rows, columns = (
            start + (np.arange(scaled) + 0.5) * region / scaled
            for start, region, scaled in zip(crop.start, crop.region, crop.scaled, strict=True)
        )
        expected = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=2)
        inner = slice(1, -1), slice(1, -1)  # Interpolation stops at the edges of the image.
        for reduction in REDUCTIONS:
            if reduction <= reduction_for(factor):
                found = crop.image(reduced(image, reduction))
                assert np.abs(found - expected)[inner].max() * factor < 0.1
        where = [
            crop.mask(image[..., axis].astype(np.uint16), lambda rows: rows.astype(np.uint8)).astype(int)
            for axis in (0, 1)
        ]
        whole_pixels = np.stack(where, axis=2) + 0.5
        difference = (whole_pixels - expected + 128) % 256 - 128
        assert np.abs(difference).max() <= 0.5 + 1e-6


def test_a_jpeg_decoded_at_half_its_size_gives_nearly_the_same_crop() -> None:
    rows, columns = np.ogrid[:203, :301]
    grey = 128 + 100 * np.sin(rows / 9) * np.cos(columns / 11)
    data = simplejpeg.encode_jpeg(np.repeat(grey[..., None], 3, axis=2).round().astype(np.uint8), quality=98)
    whole = simplejpeg.decode_jpeg(data)
    half = simplejpeg.decode_jpeg(data, min_height=102, min_width=151)
    assert half.shape == (102, 151, 3)
    for seed in range(5):
        crop = draw_crop((203, 301), (64, 64), 0.4, np.random.default_rng(seed))
        difference = np.abs(crop.image(half).astype(float) - crop.image(whole))
        # A shift by a pixel of the result would be seen as 20 and more.
        assert difference[1:-1, 1:-1].max() < 5


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 5, 300])
@pytest.mark.parametrize("factor", [0.5, 1.0, 1.3])
def test_every_channel_is_cut_as_if_alone(factor: float, channels: int, dtype: type) -> None:
    image = np.random.default_rng(0).integers(0, 256, (31, 42, channels)).astype(dtype)
    for wanted in ((12, 14), (60, 50)):
        crop = draw_crop((31, 42), wanted, factor, np.random.default_rng(1))
        found = crop.image(image)
        assert found.shape == (*wanted, channels) and found.dtype == dtype
        for channel in range(channels):
            alone = crop.image(np.ascontiguousarray(image[..., channel : channel + 1]))
            np.testing.assert_allclose(found[..., channel], alone[..., 0], atol=1 if dtype == np.uint8 else 1e-3)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.3])
def test_views_are_cut_as_copies_are(factor: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    crop = draw_crop((32, 40), (30, 30), factor, np.random.default_rng(1))
    smaller = np.ascontiguousarray(image[::2, ::2])
    for view in (image[..., ::-1], image[::-1], image[:, ::-1], smaller[..., ::-1], smaller[::-1]):
        np.testing.assert_array_equal(crop.image(view), crop.image(view.copy()))


def test_a_crop_is_a_copy() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    draw_crop((8, 8), (8, 8), 1.0, np.random.default_rng(0)).image(image)[:] = 1
    assert not image.any()


def test_what_is_added_to_a_small_image_mirrors_it_and_is_ignored() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    mask = np.arange(20, dtype=np.uint8).reshape(4, 5)
    crop = draw_crop((4, 5), (10, 12), 1.0, np.random.default_rng(0))
    there_and_back = np.concatenate([image, image[::-1], image[:2]])
    there_and_back = np.concatenate([there_and_back, there_and_back[:, ::-1], there_and_back[:, :2]], axis=1)
    np.testing.assert_array_equal(crop.image(image), there_and_back)
    found = crop.mask(mask, as_it_is)
    np.testing.assert_array_equal(found[:4, :5], mask)
    assert (found[4:] == IGNORE).all() and (found[:, 5:] == IGNORE).all()


def test_only_the_crop_of_a_mask_is_mapped_and_it_is_padded_afterwards() -> None:
    raw = np.full((6, 9), 70, np.uint16)
    raw[:, :4] = 255
    raw[:, 4:] = 300
    raw[5, 8] = 9999
    crop = Crop((6, 9), start=(0, 2), region=(4, 4), scaled=(4, 4), wanted=(5, 4))

    def to_classes(mask: NDArray[np.uint16]) -> MaskArray:
        assert set(np.unique(mask)) == {255, 300}
        return np.where(mask == 255, 1, 2).astype(np.uint8)

    np.testing.assert_array_equal(crop.mask(raw, to_classes), [[1, 1, 2, 2]] * 4 + [[IGNORE] * 4])


def test_masks_are_never_interpolated() -> None:
    mask = np.random.default_rng(0).choice(np.array([3, 200, 65000], np.uint16), (40, 40))
    for factor in (0.3, 0.9, 1.7):
        crop = draw_crop((40, 40), (30, 30), factor, np.random.default_rng(0))
        found = crop.mask(mask, lambda raw: np.searchsorted([3, 200, 65000], raw).astype(np.uint8))
        assert set(np.unique(found)) <= {0, 1, 2, IGNORE}
        assert set(np.unique(crop.mask((mask % 256).astype(np.uint8), as_it_is))) <= {3, 200, 65000 % 256, IGNORE}


def test_scaling_is_that_of_the_whole_image() -> None:
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8), (0, 0), 2)
    whole = cv2.resize(image, (160, 128))
    crop = draw_crop((64, 80), (40, 48), 2.0, np.random.default_rng(4))
    top, left = (2 * start for start in crop.start)
    difference = np.abs(crop.image(image).astype(int) - whole[top : top + 40, left : left + 48])
    assert difference[1:-1, 1:-1].max() <= 1


def test_an_image_of_another_size_is_refused() -> None:
    crop = draw_crop((100, 200), (10, 10), 0.2, np.random.default_rng(0))
    for shape in ((100, 199, 3), (50, 99, 3), (33, 67, 3), (200, 100, 3)):
        with pytest.raises(ValueError, match=f"of 200 by 100 pixels was read as {shape[1]} by {shape[0]}, which is"):
            crop.image(np.zeros(shape, np.uint8))


def test_images_are_reduced_no_further_than_they_are_scaled() -> None:
    factors = [2.0, 1.0, 0.51, 0.5, 0.26, 0.25, 0.2, 0.125, 0.01]
    assert [reduction_for(factor) for factor in factors] == [1, 1, 1, 2, 2, 4, 4, 8, 8]

from typing import Any, get_args

import albumentations
import numpy as np
import pytest
import yaml
from jsonargparse import ArgumentParser
from numpy.typing import NDArray

from datamodules.augmentations import (
    Augmentation,
    Preset,
    apply,
    checked_transforms,
    colour_transforms,
    is_spatial,
    spatial_transforms,
)
from datamodules.batch import IGNORE


def picture(height: int = 8, width: int = 8, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def twice(image: NDArray[Any], **_: Any) -> NDArray[Any]:
    return image << 1  # type: ignore[no-any-return]  # an operator of integers alone


def build(value: Any) -> Augmentation:
    """What the command line makes of a value of ``augmentation``."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--augmentation", type=Augmentation)
    parser.add_argument("--config", action="config")
    made: Augmentation = parser.instantiate(parser.parse_object({"augmentation": value})).augmentation
    return made


def views(transforms: Any, image: NDArray[Any], seeds: int) -> list[bytes]:
    found = []
    for seed in range(seeds):
        made, generator = image, np.random.default_rng(seed)
        for transform in transforms:
            made, _ = apply(transform, made, None, generator)
        found.append(made.tobytes())
    return found


@pytest.mark.parametrize("preset", ["aerial", "microscopy"])
def test_squares_are_flipped_and_turned_in_all_eight_ways(preset: Preset) -> None:
    image = picture()
    eight = {np.rot90(side, turns).tobytes() for side in (image, image[::-1]) for turns in range(4)}
    assert set(views(spatial_transforms(preset, (8, 8)), image, 100)) == eight


@pytest.mark.parametrize("preset", ["aerial", "microscopy"])
def test_oblongs_keep_their_shape_in_all_four_ways(preset: Preset) -> None:
    image = picture(6, 8)
    four = {side.tobytes() for side in (image, image[::-1], image[:, ::-1], image[::-1, ::-1])}
    assert set(views(spatial_transforms(preset, (6, 8)), image, 60)) == four


@pytest.mark.parametrize("preset", get_args(Preset))
def test_no_colour_transform_moves_pixels(preset: Preset) -> None:
    assert not any(map(is_spatial, colour_transforms(preset, 3)))
    assert all(map(is_spatial, spatial_transforms(preset, (8, 8))))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_microscopy_changes_images_of_any_channels(channels: int, dtype: type) -> None:
    image = picture(channels=channels).astype(dtype)
    image = image if dtype == np.uint8 else image / 255
    found = views(colour_transforms("microscopy", channels), image, 20)
    assert len(set(found)) > 15


def test_hundreds_of_channels_turn_together() -> None:
    image = np.repeat(picture(channels=1), 300, axis=2)
    generator = np.random.default_rng(3)
    for transform in spatial_transforms("aerial", (8, 8)) * 5:
        made, _ = apply(transform, image, None, generator)
        assert made.shape == image.shape
        assert (made == made[..., :1]).all()


@pytest.mark.parametrize(
    "composition",
    [
        albumentations.OneOf([albumentations.InvertImg(), albumentations.Solarize(), albumentations.GaussNoise()]),
        albumentations.SomeOf([albumentations.HorizontalFlip(), albumentations.GaussNoise(p=1)], n=1),
        albumentations.Sequential([albumentations.OneOf([albumentations.D4(), albumentations.ColorJitter()], p=1)]),
    ],
)
def test_a_composition_differs_between_draws_and_repeats_each(composition: Any) -> None:
    image = picture()
    first = views([composition], image, 20)
    assert len(set(first)) > 5
    (again,) = checked_transforms([composition], (8, 8), 3)
    assert views([again], image, 20) == first


def test_parts_of_a_composition_fire_independently() -> None:
    image = picture()
    flip, invert = albumentations.HorizontalFlip(p=0.5), albumentations.InvertImg(p=0.5)
    found = views([albumentations.Sequential([flip, invert], p=1.0)], image, 60)
    assert set(found) == {made.tobytes() for made in (image, image[:, ::-1], 255 - image, 255 - image[:, ::-1])}


@pytest.mark.parametrize(
    "transform",
    [
        albumentations.Affine(rotate=(30, 40), p=1),
        albumentations.Rotate(limit=(30, 40), p=1),
        albumentations.OneOf([albumentations.Affine(translate_percent=0.4)], p=1),
    ],
)
def test_what_comes_into_a_mask_from_outside_is_ignored(transform: Any) -> None:
    (checked,) = checked_transforms([transform], (32, 32), 3)
    mask = np.full((32, 32), 7, np.uint8)
    for seed in range(5):
        _, made = apply(checked, picture(32, 32), mask, np.random.default_rng(seed))
        assert made is not None and set(np.unique(made)) == {7, IGNORE}


@pytest.mark.parametrize(
    ("transform", "channels", "message"),
    [
        (albumentations.ColorJitter(p=0.01), 5, "ColorJitter fails on uint8 images of 5 channels"),
        (albumentations.HueSaturationValue(), 1, "HueSaturationValue fails on uint8 images of 1 channels"),
        (albumentations.OneOf([albumentations.ISONoise()]), 1, r"OneOf\(ISONoise\) fails on uint8 images of 1"),
        (albumentations.RandomCrop(8, 8), 3, r"RandomCrop makes .* of the shape \(8, 8, 3\)"),
        (albumentations.RandomRotate90(p=0.1), 3, r"RandomRotate90 makes .* of the shape \(20, 16, 3\)"),
        (albumentations.ToTensorV2(), 300, "ToTensorV2 makes torch.uint8 images"),
        (albumentations.Normalize(), 3, "Normalize makes float32 images"),
        (albumentations.Affine(rotate=(9, 9), mask_interpolation=1), 3, "Affine interpolates masks"),
        (albumentations.Affine(rotate=(30, 40), fill_mask=9), 3, "Affine makes up class ids in masks"),
        (
            albumentations.SelectiveChannelTransform([albumentations.HorizontalFlip()], (0, 1)),
            3,
            r"SelectiveChannelTransform\(HorizontalFlip\) would move some channels and leave the mask",
        ),
    ],
)
def test_transforms_that_do_not_fit_are_refused_by_name(transform: Any, channels: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"data.augmentation: {message}"):
        checked_transforms([albumentations.HorizontalFlip(), transform], (16, 20), channels)


def test_an_unknown_argument_is_refused_in_python_too() -> None:
    with pytest.warns(UserWarning, match="not valid"):
        transform = albumentations.HorizontalFlip(probability=0.5)
    with pytest.raises(ValueError, match=r"HorizontalFlip has no argument probability"):
        checked_transforms([transform], (8, 8), 3)


def test_colours_of_some_channels_may_change() -> None:
    some = albumentations.SelectiveChannelTransform([albumentations.ColorJitter(p=1)], (0, 1, 2))
    (checked,) = checked_transforms([some], (8, 8), 5)
    image = picture(channels=5)
    made, _ = apply(checked, image, None, np.random.default_rng(0))
    np.testing.assert_array_equal(made[..., 3:], image[..., 3:])
    assert (made[..., :3] != image[..., :3]).any()


def test_a_failure_on_float_images_names_the_transform() -> None:
    (checked,) = checked_transforms([albumentations.Lambda(image=twice, p=1)], (8, 8), 3)
    with pytest.raises(ValueError, match=r"data.augmentation: Lambda fails on float32 images of 3 channels"):
        apply(checked, picture().astype(np.float32), None, np.random.default_rng(0))


def test_the_command_line_makes_lists_of_class_paths() -> None:
    document = """
    - class_path: albumentations.HorizontalFlip
      init_args: {p: 0.25}
    - class_path: albumentations.OneOf
      init_args:
        transforms:
        - class_path: albumentations.ColorJitter
          init_args: {hue: [-0.2, 0.2]}
        - class_path: GaussNoise
    """
    flip, one_of = build(yaml.safe_load(document))
    assert isinstance(flip, albumentations.HorizontalFlip) and flip.p == 0.25
    jitter, noise = one_of.transforms
    assert jitter.hue == (-0.2, 0.2) and isinstance(noise, albumentations.GaussNoise)
    assert build("aerial") == "aerial"


@pytest.mark.parametrize(
    ("element", "message"),
    [
        ({"class_path": "albumentations.HorizontalFlip", "init_args": {"q": 1}}, "'q' is not accepted"),
        ({"class_path": "albumentations.HorizontalFlop"}, "no attribute 'HorizontalFlop'"),
        (
            {"class_path": "OneOf", "init_args": {"transforms": [{"class_path": "D4", "init_args": {"q": 1}}]}},
            "'q' is not accepted",
        ),
        ({"class_path": "ColorJitter", "init_args": {"p": 5}}, "less than or equal to 1"),
    ],
)
def test_mistakes_in_lists_are_errors(element: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        build([element])


def test_masks_interpolated_deep_within_a_composition_are_refused() -> None:
    rare = albumentations.Affine(rotate=20, mask_interpolation=1)
    one_of = albumentations.OneOf([*[albumentations.HorizontalFlip() for _ in range(17)], rare])
    with pytest.raises(ValueError, match=r"Affine interpolates masks\. Set its mask_interpolation to 0"):
        checked_transforms([one_of], (32, 32), 3)

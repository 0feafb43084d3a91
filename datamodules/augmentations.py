"""What changes training images: presets by name, and lists of albumentations transforms made fit for masks."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import albumentations
import cv2
import numpy as np
from albumentations import BaseCompose, BasicTransform

from datamodules.batch import IGNORE
from datamodules.crops import MOST_CHANNELS
from datamodules.domain import ImageArray, MaskArray

Preset = Literal["driving", "aerial", "microscopy", "none"]
Strength = Literal["weak", "strong"]
Transform: TypeAlias = BasicTransform | BaseCompose
Augmentation: TypeAlias = Preset | list[Transform]


def spatial_transforms(preset: Preset, crop: tuple[int, int]) -> list[Transform]:
    """Returns what moves the pixels of images and masks alike, and keeps the size of the crop."""
    if preset == "none":
        return []
    if preset == "driving":
        return [albumentations.HorizontalFlip(p=0.5)]
    if crop[0] == crop[1]:
        return [albumentations.D4(p=1.0)]
    # Quarter turns would change the size. The two flips together are the half turn.
    return [albumentations.HorizontalFlip(p=0.5), albumentations.VerticalFlip(p=0.5)]


def colour_transforms(preset: Preset, channels: int) -> list[Transform]:
    """Returns what changes the values of images alone; nothing where the preset cannot for so many channels."""
    if preset == "microscopy":
        # Brightness, contrast, hue and saturation: "BC" and "HSV-light" of Tellez et al. 2019, who augment stained
        # tissue. Images that are not RGB (fluorescence, phase contrast), the gamma and the blur: as in nnU-Net.
        change = (
            albumentations.ColorJitter(
                brightness=(0.65, 1.35), contrast=(0.5, 1.5), saturation=(0.9, 1.1), hue=(-0.1, 0.1), p=0.8
            )
            if channels == 3
            else albumentations.RandomBrightnessContrast(brightness_limit=0.25, contrast_limit=0.25, p=0.8)
        )
        return [
            change,
            albumentations.RandomGamma(gamma_limit=(70, 150), p=0.3),
            albumentations.GaussianBlur(sigma_limit=(0.5, 1.0), p=0.2),
            albumentations.GaussNoise(std_range=(0.01, 0.1), p=0.3),
        ]
    if preset == "none" or channels != 3:
        return []
    return [
        albumentations.ColorJitter(
            brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.6, 1.4), hue=(-0.1, 0.1), p=0.8
        ),
        albumentations.GaussianBlur(sigma_limit=(0.1, 2.0), p=0.5),
        albumentations.GaussNoise(std_range=(0.01, 0.05), p=0.3),
    ]


def checked_transforms(transforms: Sequence[Transform], crop: tuple[int, int], channels: int) -> list[Transform]:
    """Makes transforms fill masks with 255 (albumentations fills with 0, a class), and tries each of them out.

    Args:
        transforms: the transforms; they are copied.
        crop: (height, width) of the images, in pixels.
        channels: their channels.

    Returns:
        The transforms to use.

    Raises:
        ValueError: if one of them was given an unknown argument, fails, changes the size or the type of images, makes
            up values in masks, or moves the image without the mask.
    """
    checked = copy.deepcopy(list(transforms))
    for transform in checked:
        for part in _parts(transform):
            unknown = getattr(part, "invalid_args", [])
            if unknown:
                raise ValueError(f"data.augmentation: {_name(part)} has no argument {', '.join(unknown)}.")
            if isinstance(part, albumentations.SelectiveChannelTransform) and is_spatial(part):
                raise ValueError(f"data.augmentation: {_name(part)} would move some channels and leave the mask.")
            if getattr(part, "fill_mask", None) == 0:
                part.fill_mask = float(IGNORE)
            if getattr(part, "mask_interpolation", None) not in (None, cv2.INTER_NEAREST, cv2.INTER_NEAREST_EXACT):
                raise ValueError(
                    f"data.augmentation: {_name(part)} interpolates masks. Set its mask_interpolation to 0 (nearest)."
                )
        _try_out(transform, crop, channels)
    return checked


def is_spatial(transform: Transform) -> bool:
    """Tells whether a transform, or any part of a composition, treats the mask too."""
    return any(isinstance(part, albumentations.DualTransform) for part in _parts(transform))


def apply(
    transform: Transform, image: ImageArray, mask: MaskArray | None, generator: np.random.Generator
) -> tuple[ImageArray, MaskArray | None]:
    """Applies one transform; a single number is drawn from the generator.

    Args:
        transform: the transform.
        image: (H, W, C) uint8, or float32 in [0, 1].
        mask: (H, W) uint8, or None.
        generator: where all chance comes from.

    Raises:
        ValueError: if the transform fails, or changes the size or the type of the image.
    """
    seed = int(generator.integers(2**32))
    images, masks = [], []
    for first in range(0, image.shape[2], MOST_CHANNELS):
        part = image[..., first : first + MOST_CHANNELS]
        _set_seed(transform, seed)
        try:
            data = transform(image=part) if mask is None else transform(image=part, mask=mask)
        except Exception as error:  # whatever a transform may raise, the user learns which one it was
            raise ValueError(
                f"data.augmentation: {_name(transform)} fails on {image.dtype} images of {image.shape[2]} channels: "
                f"{error}"
            ) from error
        if data["image"].shape != part.shape or data["image"].dtype != part.dtype:
            raise ValueError(
                f"data.augmentation: {_name(transform)} makes {data['image'].dtype} images of the shape "
                f"{tuple(data['image'].shape)} of {part.dtype} images of the shape {part.shape}; both must stay "
                "(data.scale and data.crop scale and cut)."
            )
        images.append(data["image"])
        masks.append(data.get("mask"))
    return images[0] if len(images) == 1 else np.concatenate(images, axis=2), masks[0]


def _try_out(transform: Transform, crop: tuple[int, int], channels: int) -> None:
    always = copy.deepcopy(transform)
    for part in _parts(always):
        part.p = 1.0
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (*crop, channels), dtype=np.uint8)
    mask = generator.choice(np.array([100, 200], np.uint8), crop)
    with warnings.catch_warnings():
        # It warns where it does nothing, such as a change of hue of grey images.
        warnings.simplefilter("error", UserWarning)
        for _ in range(8):
            _, made = apply(always, image, mask, generator)
            assert made is not None, "a mask went in"
            if not set(np.unique(made)) <= {100, 200, IGNORE}:
                raise ValueError(
                    f"data.augmentation: {_name(transform)} makes up class ids in masks. Masks must be filled with "
                    f"{IGNORE} (fill_mask: {IGNORE}) and never interpolated (mask_interpolation: 0)."
                )


def _set_seed(transform: Transform, seed: int) -> None:
    transform.set_random_seed(seed)
    if isinstance(transform, BaseCompose):
        # It gave all its parts one seed, and they would fire together.
        seeds = np.random.default_rng(seed).integers(2**32, size=len(transform.transforms))
        for part, its_seed in zip(transform.transforms, seeds, strict=True):
            _set_seed(part, int(its_seed))


def _parts(transform: Transform) -> Iterator[Any]:
    yield transform
    if isinstance(transform, BaseCompose):
        for part in transform.transforms:
            yield from _parts(part)


def _name(transform: Transform) -> str:
    name = type(transform).__name__
    if isinstance(transform, BaseCompose):
        return f"{name}({', '.join(map(_name, transform.transforms))})"
    return name

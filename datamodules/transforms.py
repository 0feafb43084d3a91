"""What is done to training images on the CPU."""

from typing import Any, Literal, get_args

import albumentations
import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.batch import IGNORE
from datamodules.domain import ImageArray, MaskArray

Augmentation = Literal["none", "weak", "strong"]


class TrainTransform:
    """Cuts a random crop out of an image and its mask, and augments them.

    Args:
        crop: (height, width) of the result, in pixels.
        scale: smallest and largest factor by which the image is scaled before the crop; not for ``none``.
        augmentation: ``none`` crops; ``weak`` also scales and flips; ``strong`` also changes colours, blurs and
            adds noise.
        channels: the channels of the images.

    Raises:
        ValueError: if a number is out of bounds, or for ``strong`` on other than 3 channels.
    """

    def __init__(
        self,
        crop: tuple[int, int],
        scale: tuple[float, float] = (0.5, 2.0),
        augmentation: Augmentation = "weak",
        channels: int = 3,
    ) -> None:
        if min(crop) < 1:
            raise ValueError(f"data.crop is {list(crop)}; height and width are at least 1 pixel.")
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"data.scale is {list(scale)}; it is a smallest and a largest factor above 0.")
        if augmentation not in get_args(Augmentation):
            raise ValueError(f"data.augmentation is {augmentation!r}; known are {', '.join(get_args(Augmentation))}.")
        if augmentation == "strong" and channels != 3:
            raise ValueError(
                f"data.augmentation is 'strong', whose colour jitter needs RGB images, but data.channels is {channels}."
                " Set data.augmentation to weak."
            )
        self.crop = crop
        self.scale = (1.0, 1.0) if augmentation == "none" else scale
        self._transforms: list[Any] = []
        if augmentation != "none":
            self._transforms += [albumentations.HorizontalFlip(p=0.5)]
        if augmentation == "strong":
            self._transforms += [
                albumentations.ColorJitter(
                    brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.6, 1.4), hue=(-0.1, 0.1), p=0.8
                ),
                albumentations.GaussianBlur(sigma_limit=(0.1, 2.0), p=0.5),
                albumentations.GaussNoise(std_range=(0.01, 0.05), p=0.3),
            ]

    def __call__(
        self, image: ImageArray, mask: MaskArray | None, generator: np.random.Generator
    ) -> tuple[ImageArray, MaskArray | None]:
        """Transforms an image and its mask alike.

        Args:
            image: (H, W, C) uint8, or float32 in [0, 1].
            mask: (H, W) uint8, or None.
            generator: where all chance comes from.

        Returns:
            The image (height, width, C) and the mask (height, width), of the types they had.
        """
        image, mask = random_crop(image, mask, self.crop, generator.uniform(*self.scale), generator)
        data = {"image": image} if mask is None else {"image": image, "mask": mask}
        for transform in self._transforms:
            # Not by albumentations.Compose: it gives all its transforms one seed, and they then fire together.
            transform.set_random_seed(int(generator.integers(2**32)))
            data = transform(**data)
        return data["image"], data.get("mask")


def random_crop(
    image: ImageArray, mask: MaskArray | None, crop: tuple[int, int], factor: float, generator: np.random.Generator
) -> tuple[ImageArray, MaskArray | None]:
    """Returns what scaling the whole image and cropping it would, at the cost of scaling the crop alone.

    Where the scaled image is smaller than the crop, it is mirrored to the right and below, and the mask is ignored
    there.

    Args:
        image: (H, W, C) uint8, or float32 in [0, 1].
        mask: (H, W) uint8, or None.
        crop: (height, width) of the result, in pixels.
        factor: how much larger than in the image things become.
        generator: draws the place.

    Returns:
        The image (height, width, C) and the mask (height, width).
    """
    corner: list[slice] = []
    size: list[int] = []
    for length, wanted in zip(image.shape[:2], crop, strict=True):
        region = max(1, round(wanted / factor))
        start = int(generator.integers(max(length - region, 0) + 1))
        corner.append(slice(start, start + region))
        size.append(wanted if length >= region else min(wanted, max(1, round(length * factor))))
    place = tuple(corner)
    padding = [(0, wanted - have) for wanted, have in zip(crop, size, strict=True)]
    image = np.pad(_resize(image[place], size, cv2.INTER_LINEAR), [*padding, (0, 0)], mode="symmetric")
    if mask is not None:
        mask = np.pad(_resize(mask[place], size, cv2.INTER_NEAREST_EXACT), padding, constant_values=IGNORE)
    return image, mask


def _resize(array: NDArray[Any], size: list[int], interpolation: int) -> NDArray[Any]:
    if [*array.shape[:2]] == size:
        return array
    # OpenCV drops the last axis of a single channel.
    resized = cv2.resize(array, (size[1], size[0]), interpolation=interpolation)
    return resized.reshape(*size, *array.shape[2:])

"""What is done to training images on the CPU."""

from collections.abc import Callable, Mapping
from typing import TypeVar, get_args

import numpy as np

from datamodules.augmentations import (
    Augmentation,
    Preset,
    Strength,
    Transform,
    apply,
    checked_transforms,
    colour_transforms,
    is_spatial,
    spatial_transforms,
)
from datamodules.batch import IGNORE, DomainName
from datamodules.crops import Crop, draw_crop
from datamodules.domain import ImageArray, MaskArray

ATTEMPTS = 10
"""So many crops are drawn at most in search of one whose classes are as asked for."""

Scale = tuple[float, float]
"""The smallest and the largest factor by which images are scaled."""

Setting = TypeVar("Setting")


class TrainTransform:
    """Cuts a random crop out of an image and its mask, and augments them.

    The **weak view** of an image is the crop after all that moves pixels (flips, turns, what treats the mask too). The
    **strong view** is the weak one after all that changes values alone (colours, blur, noise).

    Args:
        crop: (height, width) of the result, in pixels.
        scale: smallest and largest factor by which the image is scaled before the crop, or these by role; not for
            ``none``.
        augmentation: ``driving`` flips to the left and right; ``aerial`` and ``microscopy`` flip and turn by quarters
            (a crop that is not square: by the half); ``none`` neither scales nor augments; or a list of albumentations
            transforms, applied whole and in this order. In masks they fill with 255.
        channels: the channels of the images.
        strength: ``weak`` stops there; ``strong`` also changes colours, blurs and adds noise; or one of these by role.
            Not for lists.
        largest_class_share: crops are drawn again, up to 10 times, until no class has a larger share of the pixels
            that are not ignored and there are at least two classes; in (0, 1], and 1 takes every crop.
        role: the domain whose images these are, which finds its own of what is given by role.

    Raises:
        ValueError: if a number is out of bounds, or if the augmentation does not fit the channels or the masks.
    """

    def __init__(
        self,
        crop: tuple[int, int],
        scale: Scale | Mapping[DomainName, Scale] = (0.5, 2.0),
        augmentation: Augmentation = "driving",
        channels: int = 3,
        strength: Strength | Mapping[DomainName, Strength] = "weak",
        largest_class_share: float = 1.0,
        role: DomainName = "source",
    ) -> None:
        if min(crop) < 1:
            raise ValueError(f"data.crop is {list(crop)}; height and width are at least 1 pixel.")
        if isinstance(augmentation, str) and augmentation not in get_args(Preset):
            raise ValueError(
                f"data.augmentation is {augmentation!r}; known are {', '.join(get_args(Preset))}, or a list of "
                "albumentations transforms. How strong they are, weak or strong, is data.strength."
            )
        strength_key, own_strength = _of_role(role, "strength", strength)
        if own_strength not in get_args(Strength):
            raise ValueError(f"{strength_key} is {own_strength!r}; known are {', '.join(get_args(Strength))}.")
        if not 0 < largest_class_share <= 1:
            raise ValueError(f"data.largest_class_share is {largest_class_share}; it is above 0 and at most 1.")
        self.crop = crop
        scale_key, own_scale = _of_role(role, "scale", scale)
        if not 0 < own_scale[0] <= own_scale[1]:
            raise ValueError(f"{scale_key} is {list(own_scale)}; it is a smallest and a largest factor above 0.")
        self.scale = (1.0, 1.0) if augmentation == "none" else own_scale
        self.augmentation = augmentation
        self.channels = channels
        self.largest_class_share = largest_class_share
        self._spatial: list[Transform]
        self._colours: list[Transform]
        if isinstance(augmentation, str):
            self._spatial = spatial_transforms(augmentation, crop)
            self._colours = colour_transforms(augmentation, channels)
            self._whole = self._spatial + (self._colours if own_strength == "strong" else [])
            if own_strength == "strong" and augmentation != "none":
                self.check_strong_view(f"{strength_key} is 'strong'")
        else:
            self._whole = checked_transforms(augmentation, crop, channels)
            self._spatial = [transform for transform in self._whole if is_spatial(transform)]
            self._colours = [transform for transform in self._whole if not is_spatial(transform)]

    def check_strong_view(self, why: str) -> None:
        """Refuses an augmentation that has no strong view.

        Args:
            why: what needs it, for the error.

        Raises:
            ValueError: if nothing changes the values of images.
        """
        if self._colours:
            return
        if isinstance(self.augmentation, str) and self.augmentation != "none":
            raise ValueError(
                f"{why}, and the colour jitter of {self.augmentation!r} needs RGB images, but data.channels is "
                f"{self.channels}. Set data.augmentation to microscopy or to a list of transforms."
            )
        raise ValueError(
            f"{why}, but data.augmentation holds nothing that changes the values of images. Set it to driving, aerial "
            "or microscopy, or add such a transform to the list."
        )

    def draw_factor(self, generator: np.random.Generator) -> float:
        """Draws the factor by which an image is scaled: before it is read, since it may then be read reduced."""
        return float(generator.uniform(*self.scale))

    def __call__(
        self,
        image: ImageArray,
        size: tuple[int, int],
        factor: float,
        generator: np.random.Generator,
        *,
        cut_mask: Callable[[Crop], MaskArray] | None = None,
        wanted: tuple[int, int] | None = None,
        weak: bool = False,
    ) -> tuple[ImageArray, MaskArray | None]:
        """Transforms an image and its mask alike.

        Args:
            image: (H, W, C) uint8, or float32 in [0, 1]; perhaps reduced, see ``Crop.image``.
            size: (height, width) of the whole image, in pixels.
            factor: what ``draw_factor`` drew.
            generator: where all chance comes from.
            cut_mask: cuts a crop out of the image's mask, see ``Crop.mask``; None without a mask.
            wanted: a class id and the pixels of it that the crop should hold: crops are drawn again, up to 10 times,
                until one does.
            weak: whether the weak view is asked for, whatever the strength.

        Returns:
            The image (height, width, C), of the type it had, and the mask (height, width) uint8 with 255 = ignore.
        """
        crop = draw_crop(size, self.crop, factor, generator)
        mask = None
        if cut_mask is not None:
            mask = cut_mask(crop)
            for _ in range(ATTEMPTS - 1):
                if self._is_as_asked(mask, wanted):
                    break
                crop = draw_crop(size, self.crop, factor, generator)
                mask = cut_mask(crop)
        image = crop.image(image)
        for transform in self._spatial if weak else self._whole:
            image, mask = apply(transform, image, mask, generator)
        return image, mask

    def strong_view(self, image: ImageArray, generator: np.random.Generator) -> ImageArray:
        """Makes the strong view of a weak one: other values, and every pixel where it was.

        Args:
            image: (height, width, C) uint8, or float32 in [0, 1]: a weak view.
            generator: where all chance comes from.

        Returns:
            A new image of the same shape and type.
        """
        for transform in self._colours:
            image, _ = apply(transform, image, None, generator)
        return image

    def _is_as_asked(self, mask: MaskArray, wanted: tuple[int, int] | None) -> bool:
        if wanted is None and self.largest_class_share == 1:
            return True
        pixels = np.bincount(mask.ravel(), minlength=IGNORE + 1)[:IGNORE]
        if wanted is not None and pixels[wanted[0]] < wanted[1]:
            return False
        if self.largest_class_share == 1:
            return True
        return bool(np.count_nonzero(pixels) >= 2 and pixels.max() <= self.largest_class_share * pixels.sum())


def _of_role(role: DomainName, key: str, given: Setting | Mapping[DomainName, Setting]) -> tuple[str, Setting]:
    """Returns a domain's own of a setting that may be given by role, and what the setting is called."""
    if not isinstance(given, Mapping):
        return f"data.{key}", given
    if set(given) != set(get_args(DomainName)):
        raise ValueError(f"data.{key} names {', '.join(given) or 'nothing'}; as a mapping it has source and target.")
    return f"data.{key}.{role}", given[role]

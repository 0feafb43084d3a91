"""What the reading of training images is measured beside: the same work by hand with OpenCV, and with torchvision."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors
from torchvision.io import ImageReadMode, decode_image, read_file
from torchvision.transforms import v2

from datamodules.augmentations import Strength
from datamodules.batch import IGNORE

Pair = tuple[Tensor, Tensor]
"""A batch: images (B, 3, H, W) and masks (B, H, W), both uint8."""


class OpenCVByHand:
    """Reads and augments as ``DomainDataset`` does, with OpenCV and without any check.

    It crops before it scales and turns to RGB what is left, and has JPEGs decoded at a half or a quarter of their size
    where that leaves enough pixels.

    Args:
        folder: holds ``images/<name><suffix>`` and ``masks/<name>.png``.
        suffix: of the images, with the dot.
        crop: (height, width) of the result, in pixels.
        scale: smallest and largest factor by which the images are scaled.
        strength: ``weak`` flips, ``strong`` also changes colours, blurs and adds noise.
    """

    def __init__(
        self, folder: Path, suffix: str, crop: tuple[int, int], scale: tuple[float, float], strength: Strength
    ) -> None:
        self.folder = folder
        self.suffix = suffix
        self.crop = crop
        self.scale = scale
        self.strength = strength

    def __call__(self, names: Sequence[str], seed: int) -> Pair:
        """Reads a batch.

        Args:
            names: the images.
            seed: where all chance comes from.
        """
        generator = np.random.default_rng(seed)
        read = [self._read(name, generator) for name in names]
        images = [torch.from_numpy(image).permute(2, 0, 1) for image, _ in read]
        return torch.stack(images).contiguous(), torch.stack([torch.from_numpy(mask) for _, mask in read])

    def _read(self, name: str, generator: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        factor = generator.uniform(*self.scale)
        flags, reduction = cv2.IMREAD_COLOR, 1
        if self.suffix == ".jpg" and factor <= 0.5:
            flags, reduction = (cv2.IMREAD_REDUCED_COLOR_4, 4) if factor <= 0.25 else (cv2.IMREAD_REDUCED_COLOR_2, 2)
        image = _imread(self.folder / "images" / f"{name}{self.suffix}", flags)
        mask = _imread(self.folder / "masks" / f"{name}.png", cv2.IMREAD_UNCHANGED)
        region = [min(length, round(side / factor)) for length, side in zip(mask.shape, self.crop, strict=True)]
        top, left = (
            int(generator.integers(length - side + 1)) for length, side in zip(mask.shape, region, strict=True)
        )
        bottom, right = top + region[0], left + region[1]
        image = image[top // reduction : bottom // reduction, left // reduction : right // reduction]
        mask = mask[top:bottom, left:right]
        height, width = (min(wanted, round(have * factor)) for wanted, have in zip(self.crop, region, strict=True))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        edges = 0, self.crop[0] - height, 0, self.crop[1] - width
        if any(edges):
            image = cv2.copyMakeBorder(image, *edges, cv2.BORDER_REFLECT)
            mask = cv2.copyMakeBorder(mask, *edges, cv2.BORDER_CONSTANT, value=[IGNORE])
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        if generator.random() < 0.5:
            image, mask = cv2.flip(image, 1), cv2.flip(mask, 1)
        if self.strength == "strong":
            image = _change_colours(image, generator) if generator.random() < 0.8 else image
            image = cv2.GaussianBlur(image, (0, 0), generator.uniform(0.1, 2.0)) if generator.random() < 0.5 else image
            image = _add_noise(image, generator) if generator.random() < 0.3 else image
        return image, mask


class Torchvision:
    """Reads and augments with ``torchvision.io`` and ``torchvision.transforms.v2``.

    Like torchvision's own training for segmentation it scales the whole image and then crops it. Its decoders are
    faster than Pillow's.

    Args:
        folder: holds ``images/<name><suffix>`` and ``masks/<name>.png``.
        suffix: of the images, with the dot.
        crop: (height, width) of the result, in pixels.
        scale: smallest and largest factor by which the images are scaled.
        strength: ``weak`` flips, ``strong`` also changes colours, blurs and adds noise.
        shorter: the shorter side of the images, in pixels.
    """

    def __init__(
        self,
        folder: Path,
        suffix: str,
        crop: tuple[int, int],
        scale: tuple[float, float],
        strength: Strength,
        shorter: int,
    ) -> None:
        self.folder = folder
        self.suffix = suffix
        steps = [
            v2.RandomResize(round(scale[0] * shorter), round(scale[1] * shorter) + 1),
            v2.RandomCrop(crop, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: IGNORE}),
            v2.RandomHorizontalFlip(0.5),
        ]
        if strength == "strong":
            steps += [
                v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
                v2.RandomApply([v2.GaussianBlur(9, (0.1, 2.0))], 0.5),
                v2.RandomApply([v2.GaussianNoise(sigma=0.03)], 0.3),
            ]
        self._transform = v2.Compose([*steps, v2.ToPureTensor()])

    def __call__(self, names: Sequence[str], seed: int) -> Pair:
        """Reads a batch.

        Args:
            names: the images.
            seed: where all chance comes from.
        """
        torch.manual_seed(seed)
        read = [self._read(name) for name in names]
        return torch.stack([image for image, _ in read]), torch.stack([mask[0] for _, mask in read])

    def _read(self, name: str) -> Pair:
        image = decode_image(read_file(str(self.folder / "images" / f"{name}{self.suffix}")), ImageReadMode.RGB)
        mask = decode_image(read_file(str(self.folder / "masks" / f"{name}.png")))
        transformed: Pair = self._transform(tv_tensors.Image(image), tv_tensors.Mask(mask))
        return transformed


def _imread(path: Path, flags: int) -> NDArray[Any]:
    array = cv2.imread(str(path), flags)
    assert array is not None, "the benchmark wrote it"
    return array


def _change_colours(image: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    brightness, contrast, saturation = generator.uniform(0.6, 1.4, 3)
    image = cv2.convertScaleAbs(image, alpha=brightness)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    image = cv2.addWeighted(image, contrast, image, 0, (1 - contrast) * float(grey.mean()))
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    image = cv2.addWeighted(image, saturation, grey, 1 - saturation, 0)
    turned = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    turn = round(180 * generator.uniform(-0.1, 0.1))
    turned[..., 0] = cv2.LUT(turned[..., 0], ((np.arange(256) + turn) % 180).astype(np.uint8))
    return cv2.cvtColor(turned, cv2.COLOR_HSV2RGB)


def _add_noise(image: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    noise = generator.standard_normal(image.shape, np.float32)
    return cv2.addWeighted(image, 1.0, noise, 255 * generator.uniform(0.01, 0.05), 0, dtype=cv2.CV_8U)

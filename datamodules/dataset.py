"""From names to tensors and batches."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.batch import IGNORE, DomainBatch, DomainName, StreamName
from datamodules.domain import Domain, MaskArray
from datamodules.reading import convert_channels
from datamodules.samplers import stream_generator
from datamodules.transforms import TrainTransform


class Sample(TypedDict):
    """One image of a domain and, where asked for, its mask.

    Attributes:
        image: (C, H, W) uint8, or float32 in [0, 1].
        mask: (H, W) uint8 class ids, 255 = ignore.
        name: the image's name.
        domain: the domain it is of.
    """

    image: Tensor
    mask: NotRequired[Tensor]
    name: str
    domain: DomainName


class MaskReader:
    """Reads masks of a domain and checks their class ids.

    Args:
        domain: where the masks are.
        role: what the domain is, for errors.
        classes: the number of classes.
        label_map: the key of the configuration that mends a wrong class id, for errors.
    """

    def __init__(self, domain: Domain, role: DomainName, classes: int, label_map: str) -> None:
        self.domain = domain
        self.role = role
        self.classes = classes
        self.label_map = label_map

    def __call__(self, name: str) -> MaskArray:
        """Returns a mask, (H, W) uint8.

        Raises:
            ValueError: if it holds a class id that is neither a class nor 255.
        """
        mask = self.domain.read_mask(name)
        wrong = mask[(mask >= self.classes) & (mask != IGNORE)]
        if wrong.size:
            raise ValueError(
                f"{self.role} mask {name} holds class id {wrong[0]}; classes are 0 to {self.classes - 1} and "
                f"255 (ignore). Map it in {self.label_map}."
            )
        return mask


class DomainDataset(Dataset[Sample]):
    """Images of a domain by index, with their masks only if a reader of masks is given.

    Args:
        domain: where the images are.
        role: what the domain is.
        names: the images.
        channels: the channels that images are converted to.
        read_mask: reads the masks; without it no mask is ever opened.
        transform: what is done to training images; None leaves them whole.
        seed: the seed of the data.
        stream: the stream that is trained on; augmentation depends on it, on the seed and on the draw number.
    """

    def __init__(
        self,
        domain: Domain,
        role: DomainName,
        names: Sequence[str],
        *,
        channels: int,
        read_mask: MaskReader | None = None,
        transform: TrainTransform | None = None,
        seed: int = 0,
        stream: StreamName | None = None,
    ) -> None:
        self.domain = domain
        self.role = role
        self.names = list(names)
        self.channels = channels
        self.read_mask = read_mask
        self.transform = transform
        self.seed = seed
        self.stream = stream

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.names)

    def __getitem__(self, item: int | tuple[int, int]) -> Sample:
        """Reads one image.

        Args:
            item: an index, or (index, draw number) in training. An index alone stands for both: ``overfit_batches``
                of the Trainer asks so.

        Raises:
            ValueError: if a file is broken, or image and mask do not fit each other or the run.
        """
        index, draw = (item, item) if isinstance(item, int) else item
        name = self.names[index]
        image = convert_channels(self.domain.read_image(name), self.channels, f"{self.role} image {name}")
        mask = None if self.read_mask is None else self.read_mask(name)
        if mask is not None and mask.shape != image.shape[:2]:
            raise ValueError(
                f"{self.role} mask {name} is {_size(mask.shape)}, but its image is {_size(image.shape)} pixels "
                "(width by height)."
            )
        if self.transform is not None:
            image, mask = self.transform(image, mask, stream_generator(self.seed, f"augmentation/{self.stream}", draw))
        sample: Sample = {
            "image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            "name": name,
            "domain": self.role,
        }
        if mask is not None:
            sample["mask"] = torch.from_numpy(np.ascontiguousarray(mask))
        return sample


def collate(samples: Sequence[Sample]) -> DomainBatch:
    """Makes a batch of samples of one domain."""
    batch: DomainBatch = {
        "image": torch.stack([sample["image"] for sample in samples]),
        "name": [sample["name"] for sample in samples],
        "domain": samples[0]["domain"],
    }
    if "mask" in samples[0]:
        batch["mask"] = torch.stack([sample["mask"] for sample in samples])
    return batch


def to_device_values(batch: DomainBatch) -> DomainBatch:
    """Makes float images in [0, 1] and int64 masks of what workers hand over; called on the device.

    Args:
        batch: a batch as collated.

    Returns:
        A new batch; its image is (B, C, H, W) float32 and its mask (B, H, W) int64.
    """
    converted = batch.copy()
    if batch["image"].dtype == torch.uint8:
        converted["image"] = batch["image"].float().div_(255)
    if "mask" in batch:
        converted["mask"] = batch["mask"].long()
    return converted


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} by {shape[0]}"

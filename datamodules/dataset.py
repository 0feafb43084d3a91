"""From names to tensors and batches."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.batch import DomainBatch, DomainName, StreamName
from datamodules.crops import Crop, reduction_for
from datamodules.domain import Domain, IdArray, ImageArray, MaskArray
from datamodules.loaders import take_in_hand
from datamodules.mask_reader import MaskReader
from datamodules.reading import convert_channels
from datamodules.samplers import Draw, stream_generator
from datamodules.skipped_files import SkippedFile, read_or_another
from datamodules.transforms import TrainTransform


class Sample(TypedDict):
    """One image of a domain and, where asked for, its mask.

    Attributes:
        image: (C, H, W) uint8, or float32 in [0, 1].
        mask: (H, W) uint8 class ids, 255 = ignore.
        strong: (C, H, W), the same crop as ``image`` with other colours.
        name: the image's name.
        domain: the domain it is of.
        part: which of several domains in that role.
        skipped: the images that could not be read and that this one stands for.
    """

    image: Tensor
    mask: NotRequired[Tensor]
    strong: NotRequired[Tensor]
    name: str
    domain: DomainName
    part: str
    skipped: NotRequired[list[SkippedFile]]


class _Read(NamedTuple):
    """What the files of an image hold: the image, perhaps reduced, the size of the whole, and the ids of its mask."""

    name: str
    image: ImageArray
    size: tuple[int, int]
    ids: IdArray


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
        wanted_pixels: the pixels that a crop should hold of the class that a draw wants.
        strong_view: whether samples have a second view of the crop.
        skip_bad_files: whether another image takes the place of one that cannot be read.
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
        wanted_pixels: int = 0,
        strong_view: bool = False,
        skip_bad_files: bool = False,
    ) -> None:
        self.domain = domain
        self.role = role
        self.names = names
        self.channels = channels
        self.read_mask = read_mask
        self.transform = transform
        self.seed = seed
        self.stream = stream
        self.wanted_pixels = wanted_pixels
        self.strong_view = strong_view
        self.skip_bad_files = skip_bad_files

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.names)

    def __getitem__(self, item: int | Draw) -> Sample:
        """Reads one image.

        Args:
            item: an index, or a draw in training. An index alone stands for both: ``overfit_batches`` of the Trainer
                asks so.

        Raises:
            ValueError: if a file is broken, or image and mask do not fit each other or the run.
        """
        draw = Draw(item, item) if isinstance(item, int) else item
        if self.transform is None:
            whole, skipped = self._read_draw(draw, 1)
            mask = None if self.read_mask is None else self.read_mask.to_classes(whole.ids, whole.name)
            sample = self._sample(whole.name, self._converted(whole), mask)
        else:
            generator = stream_generator(self.seed, f"augmentation/{self.stream}", draw.number)
            factor = self.transform.draw_factor(generator)
            # What is wrong with the classes or the augmentation is no fault of a file, and is never skipped.
            files, skipped = self._read_draw(draw, reduction_for(factor))
            sample = self._augmented(files, draw, factor, generator, self.transform)
        if skipped:
            sample["skipped"] = skipped
        return sample

    def _read_draw(self, draw: Draw, reduction: int) -> tuple[_Read, list[SkippedFile]]:
        """Reads the image of a draw, or another where that may be, with what was skipped."""
        read = partial(self._read, reduction=reduction)
        if not self.skip_bad_files:
            return read(draw.image), []
        return read_or_another(read, self.names, draw.image, draw=draw.number, seed=self.seed, stream=str(self.stream))

    def _read(self, index: int, reduction: int) -> _Read:
        name = self.names[index]
        take_in_hand(f"{self.role} image {name}")
        image, size = self.domain.read_reduced(name, reduction)
        ids: IdArray = np.empty((0, 0), np.uint8)
        if self.read_mask is not None:
            ids = self.read_mask.read_ids(name)
            if ids.shape != size:
                raise ValueError(
                    f"{self.role} mask {name} is {_size(ids.shape)}, but its image is {_size(size)} pixels (width by "
                    "height)."
                )
        return _Read(name, image, size, ids)

    def _augmented(
        self, files: _Read, draw: Draw, factor: float, generator: np.random.Generator, transform: TrainTransform
    ) -> Sample:
        cut_mask = None
        if self.read_mask is not None:
            to_classes = partial(self.read_mask.to_classes, name=files.name)

            def cut_mask(crop: Crop) -> MaskArray:
                return crop.mask(files.ids, to_classes)

        image, mask = transform(
            self._converted(files),
            files.size,
            factor,
            generator,
            cut_mask=cut_mask,
            wanted=None if draw.wanted is None else (draw.wanted, self.wanted_pixels),
            weak=self.strong_view,
        )
        sample = self._sample(files.name, image, mask)
        if self.strong_view:
            sample["strong"] = _channels_first(transform.strong_view(image, generator))
        return sample

    def _converted(self, files: _Read) -> ImageArray:
        return convert_channels(files.image, self.channels, f"{self.role} image {files.name}")

    def _sample(self, name: str, image: ImageArray, mask: MaskArray | None) -> Sample:
        sample: Sample = {
            "image": _channels_first(image),
            "name": name,
            "domain": self.role,
            "part": self.domain.part(name),
        }
        if mask is not None:
            sample["mask"] = torch.from_numpy(np.ascontiguousarray(mask))
        return sample


def collate(samples: Sequence[Sample]) -> DomainBatch:
    """Makes a batch of samples of one domain, or of parts of it."""
    batch: DomainBatch = {
        "image": torch.stack([sample["image"] for sample in samples]),
        "name": [sample["name"] for sample in samples],
        "domain": samples[0]["domain"],
    }
    if len({sample["part"] for sample in samples}) == 1:
        batch["part"] = samples[0]["part"]
    if "mask" in samples[0]:
        batch["mask"] = torch.stack([sample["mask"] for sample in samples])
    if "strong" in samples[0]:
        batch["strong"] = torch.stack([sample["strong"] for sample in samples])
    skipped = [file for sample in samples for file in sample.get("skipped", [])]
    if skipped:
        batch["skipped"] = skipped
    return batch


def to_device_values(batch: DomainBatch) -> DomainBatch:
    """Makes float images in [0, 1] and int64 masks of what workers hand over; called on the device.

    Args:
        batch: a batch as collated.

    Returns:
        A new batch; its images are (B, C, H, W) float32 and its mask (B, H, W) int64.
    """
    converted = batch.copy()
    converted["image"] = to_values(batch["image"])
    if "strong" in batch:
        converted["strong"] = to_values(batch["strong"])
    if "mask" in batch:
        converted["mask"] = batch["mask"].long()
    return converted


def to_values(image: Tensor) -> Tensor:
    """Makes float32 in [0, 1] of uint8 or of floats."""
    # Under true half precision Lightning has made floats half, whatever the workers handed over.
    return image.float().div_(255) if image.dtype == torch.uint8 else image.float()


def _channels_first(image: ImageArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} by {shape[0]}"

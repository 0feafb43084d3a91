"""The types of a batch: all that strategies and data modules share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from torch import Tensor

IGNORE = 255
"""The mask value of pixels that count neither in the loss nor in the scores."""

DomainName = Literal["source", "target"]
StreamName = Literal["source", "labelled_target", "target"]


class DomainBatch(TypedDict):
    """Images of one domain and, where labels were given, their masks.

    Attributes:
        image: (B, C, H, W). Float in [0, 1] once on the device; workers hand over uint8, or float32 in [0, 1] for
            16-bit and float images. Never normalised: the network does that.
        mask: (B, H, W) class ids with 255 = ignore, int64 on the device and uint8 before. Absent from the
            stream ``target``, and from target images that are validated without labels.
        name: one file name an image, without folder and suffix.
        strong: (B, C, H, W), the same crops as ``image`` with colours changed; in the stream ``target`` where it is
            asked for.
        domain: the domain the images are of; validation and test read it.
        part: which of several domains in that role, if all are of one; an empty string where there is one domain.
        skipped: (name, reason) of the files that could not be read and were replaced by others.
    """

    image: Tensor
    mask: NotRequired[Tensor]
    name: list[str]
    strong: NotRequired[Tensor]
    domain: NotRequired[DomainName]
    part: NotRequired[str]
    skipped: NotRequired[Sequence[tuple[str, str]]]


class Batch(TypedDict, total=False):
    """One training batch: the streams that the strategy declared, and no others.

    Attributes:
        source: labelled source images.
        labelled_target: the target images whose labels were given for training (``data.labels``).
        target: all target training images, without masks.
    """

    source: DomainBatch
    labelled_target: DomainBatch
    target: DomainBatch


@dataclass(frozen=True)
class RareClassSampling:
    """Shows rare classes more often than chance does: a setting that a strategy or a config asks of the data.

    Each draw of a labelled stream first picks a class c with the probability softmax((1 − f_c) / temperature), where
    f_c is the share of c in all labelled pixels of the stream, and then, at random, one of the images that have at
    least ``minimum_pixels`` of it. Of several random crops of the image the first one counts that has at least
    ``minimum_crop_pixels`` of the class. The defaults are those of DAFormer (Hoyer et al., CVPR 2022), made for
    photographs of 2 megapixels with crops of 512 by 512 pixels.

    Args:
        temperature: above 0. The smaller, the more often the rarest classes; the larger, the more alike all classes.
        minimum_pixels: at least 1.
        minimum_crop_pixels: at least 0; 0 takes the first crop.

    Raises:
        ValueError: if a number is out of bounds.
    """

    temperature: float = 0.01
    minimum_pixels: int = 3000
    minimum_crop_pixels: int = 1500

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if not 0 < self.temperature < math.inf:
            raise ValueError(
                f"rare_class_sampling.temperature is {self.temperature}; it is above 0 and finite, such as 0.01."
            )
        if self.minimum_pixels < 1:
            raise ValueError(
                f"rare_class_sampling.minimum_pixels is {self.minimum_pixels}; it is at least 1: "
                "an image without the class cannot stand for it."
            )
        if self.minimum_crop_pixels < 0:
            raise ValueError(
                f"rare_class_sampling.minimum_crop_pixels is {self.minimum_crop_pixels}; it is at least 0."
            )

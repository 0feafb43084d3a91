"""The types of a batch: all that strategies and data modules share."""

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
            stream ``target``.
        name: one file name an image, without folder and suffix.
        strong: (B, C, H, W), the same crops as ``image`` with colours changed; in the stream ``target`` where it is
            asked for.
        domain: the domain the images are of; validation and test read it.
        part: which of several domains in that role; an empty string where there is one.
        skipped: (name, reason) of the files that could not be read and were replaced by others.
    """

    image: Tensor
    mask: NotRequired[Tensor]
    name: list[str]
    strong: NotRequired[Tensor]
    domain: NotRequired[DomainName]
    part: NotRequired[str]
    skipped: NotRequired[list[tuple[str, str]]]


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

"""From one image of any size to one mask: overlapping windows, blended, in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from datamodules.batch import IGNORE, DomainBatch
from datamodules.domain import ImageArray, MaskArray

FINISHED_ROWS = 32
"""Rows that leave the band at a time: class ids are int64 until they are stored, so a whole band of them is large."""


@dataclass(frozen=True)
class Windows:
    """How a large image is cut for prediction.

    Args:
        size: height and width of a window in pixels, or one number for both. Images smaller than that are not
            enlarged: their window is as large as they are.
        overlap: share of a window that lies on its neighbour, in each direction, in [0, 1). Across it one window
            fades into the next, since near its border a network sees too little of the surroundings.
        batch_size: windows that pass the network together.
        scale: factor by which windows are made smaller (or larger) before they pass the network, above 0; the logits
            are brought back to the windows' size. For networks that were trained on images so scaled.

    Raises:
        ValueError: if a size or the batch size is below 1, the overlap is outside [0, 1), or the scale is not above 0.
    """

    size: int | tuple[int, int]
    overlap: float = 0.25
    batch_size: int = 4
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuses settings that cannot cover an image."""
        if min(self.shape) < 1:
            raise ValueError(f"windows.size is {self.size}; give the height and width in pixels, each at least 1.")
        if not 0 <= self.overlap < 1:
            raise ValueError(
                f"windows.overlap is {self.overlap}; it is the share of a window that lies on its neighbour: "
                "give 0 (windows side by side) or more, but less than 1, such as 0.25."
            )
        if self.batch_size < 1:
            raise ValueError(f"windows.batch_size is {self.batch_size}; give at least 1.")
        if not self.scale > 0:
            raise ValueError(f"windows.scale is {self.scale}; give a factor above 0, such as 0.5.")

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


class PredictBatch(DomainBatch):
    """A batch to predict.

    Attributes:
        probabilities: one array (classes, H, W) an image, to be filled while its mask is predicted. Whoever wants
            the probabilities puts them there; absent otherwise.
    """

    probabilities: NotRequired[list[NDArray[np.float16]]]


@dataclass
class Prediction:
    """What ``predict_step`` gives back for one batch.

    Args:
        names: one name an image, as in the batch.
        masks: one (H, W) uint8 array of class ids an image.
        images: the images as they were read, (H, W, C), of the masks' sizes.
    """

    names: Sequence[str]
    masks: Sequence[MaskArray]
    images: Sequence[ImageArray]


@torch.inference_mode()
def predict_mask(
    network: Callable[[Tensor], Tensor],
    image: Tensor | ImageArray,
    windows: Windows | None,
    device: torch.device | str,
    probabilities: NDArray[np.float16] | None = None,
    progress: Callable[[int, int], None] | None = None,
    watch: Callable[[Tensor], None] | None = None,
) -> MaskArray:
    """Predicts the class of every pixel of one image.

    Above the image and the mask, memory holds one batch of windows in the network and one band of logits
    (classes, window height, W), whatever the height of the image. Where windows overlap, one fades linearly into the
    next; the weights add up to 1 at every pixel. Logits are blended, not probabilities: where a single window covers a
    pixel its logits pass unchanged, so one window over everything is exactly the prediction of the whole image, and
    the softmax is paid only when probabilities are asked for.

    Args:
        network: maps (B, C, h, w) float32 in [0, 1] to logits (B, classes, h, w), for any h and w; in eval mode.
        image: (C, H, W) tensor or (H, W, C) array; uint8, or floating-point in [0, 1]. It may stay on the CPU:
            windows are moved one batch at a time, and only they become float.
        windows: how the image is cut; None passes it whole.
        device: where the network is.
        probabilities: (classes, H, W) array that is filled with the probabilities, for example a memmap.
        progress: called after each batch of windows with the windows done and the windows in all.
        watch: called with the probabilities (1, classes, h, W), float32 on the device, of each few rows that are
            finished, from the top: who needs no more than a number of each pixel need not hold them all.

    Returns:
        (H, W) uint8 class ids.

    Raises:
        ValueError: if the image is of another shape, type or range; if the logits are not of the window's size, not of
            2 to 255 classes, or not finite; if ``probabilities`` has another shape.
    """
    image = _channels_first(image)
    _, height, width = image.shape
    window_height, window_width = (height, width) if windows is None else windows.shape
    window_height, window_width = min(window_height, height), min(window_width, width)
    overlap, batch_size = (0.0, 1) if windows is None else (windows.overlap, windows.batch_size)

    tops = _starts(height, window_height, overlap)
    lefts = _starts(width, window_width, overlap)
    row_weights = _blend_weights(height, window_height, tops).to(device)
    column_weights = _blend_weights(width, window_width, lefts).to(device)

    mask = np.empty((height, width), dtype=np.uint8)
    band: Tensor | None = None
    done = 0
    for row, top in enumerate(tops):
        for first in range(0, len(lefts), batch_size):
            columns = range(first, min(first + batch_size, len(lefts)))
            batch = torch.stack(
                [
                    _window(image[:, top : top + window_height, lefts[column] : lefts[column] + window_width])
                    for column in columns
                ]
            )
            logits = network(scaled(_to_float(batch.to(device)), windows))
            if windows is not None and windows.scale != 1:
                size = (window_height, window_width)
                logits = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
            _check_logits(logits, (len(batch), window_height, window_width))
            if band is None:
                band = torch.zeros(logits.shape[1], window_height, width, device=logits.device)
                if probabilities is not None and probabilities.shape != (len(band), height, width):
                    raise ValueError(
                        f"the array for probabilities has shape {probabilities.shape}; this network and image need "
                        f"(classes, H, W) = {(len(band), height, width)}."
                    )
            for window, column in zip(logits, columns, strict=True):
                weight = row_weights[row, :, None] * column_weights[column]
                band[:, :, lefts[column] : lefts[column] + window_width].addcmul_(window.float(), weight)
            del logits, window  # or they would be alive while the next batch passes the network
            done += len(batch)
            if progress is not None:
                progress(done, len(tops) * len(lefts))
        assert band is not None  # there is at least one window in a row
        end = tops[row + 1] if row + 1 < len(tops) else height
        wanted = None if probabilities is None else probabilities[:, top:end]
        _finish(band[:, : end - top], mask[top:end], wanted, watch)
        _shift_up(band, end - top)
    return mask


def window_places(height: int, width: int, windows: Windows | None) -> Iterator[tuple[slice, slice]]:
    """Yields the rows and columns of the windows of an image when they lie side by side, each pixel in at least one.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        windows: their size; None is one window over everything.
    """
    rows, columns = (height, width) if windows is None else windows.shape
    rows, columns = min(rows, height), min(columns, width)
    for top in _starts(height, rows, 0):
        for left in _starts(width, columns, 0):
            yield slice(top, top + rows), slice(left, left + columns)


def scaled(image: Tensor, windows: Windows | None) -> Tensor:
    """Returns images as the network takes them.

    Args:
        image: (B, C, H, W) float.
        windows: whose factor it is.
    """
    if windows is None or windows.scale == 1:
        return image
    size = [max(1, round(side * windows.scale)) for side in image.shape[-2:]]
    return functional.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)


def _channels_first(image: Tensor | ImageArray) -> Tensor | NDArray[Any]:
    """Checks an image and views it as (C, H, W)."""
    layout = "(C, H, W)" if isinstance(image, Tensor) else "(H, W, C)"
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"the image has shape {tuple(image.shape)}; give one image {layout} with at least one pixel.")
    floating = image.is_floating_point() if isinstance(image, Tensor) else np.issubdtype(image.dtype, np.floating)
    if not floating and image.dtype not in (torch.uint8, np.uint8):
        raise ValueError(f"the image is of type {image.dtype}; give uint8, or scale it to float32 in [0, 1].")
    if floating and not (image.min() >= 0 and image.max() <= 1):  # this way round NaN is refused as well
        raise ValueError(
            f"the floating-point image has values from {image.min():g} to {image.max():g}; scale it to [0, 1]."
        )
    return image if isinstance(image, Tensor) else image.transpose(2, 0, 1)


def _window(window: Tensor | NDArray[Any]) -> Tensor:
    # Arrays are copied because they may be read-only or reversed (BGR to RGB), which torch does not take.
    return window if isinstance(window, Tensor) else torch.from_numpy(window.copy())


def _to_float(batch: Tensor) -> Tensor:
    return batch.float() if batch.is_floating_point() else batch.float().div_(255)


def _starts(extent: int, size: int, overlap: float) -> list[int]:
    """The first pixels of the windows along one axis; the last window is shifted inside."""
    stride = max(1, round(size * (1 - overlap)))
    last = extent - size
    return [*range(0, last, stride), last]


def _blend_weights(extent: int, size: int, starts: Sequence[int]) -> Tensor:
    """Weights (windows, size) of the windows along one axis; at every pixel of the extent they add up to 1.

    A triangle for each window, divided by the sum of all triangles at the pixel. Because the sum over a grid of windows
    is the product of the sums over its axes, no map of weights has to be kept beside the band.
    """
    triangle = torch.minimum(torch.arange(1, size + 1), torch.arange(size, 0, -1)).float()
    total = torch.zeros(extent)
    for start in starts:
        total[start : start + size] += triangle
    return torch.stack([triangle / total[start : start + size] for start in starts])


def _check_logits(logits: Tensor, expected: tuple[int, int, int]) -> None:
    if logits.ndim != 4 or (logits.shape[0], *logits.shape[2:]) != expected:
        count, height, width = expected
        raise ValueError(
            f"the network gave {tuple(logits.shape)} for {count} windows of {height} × {width}; "
            f"it must give logits ({count}, classes, {height}, {width}): pad inside the network and crop again."
        )
    classes = logits.shape[1]
    if not 2 <= classes <= IGNORE:
        raise ValueError(
            f"the network has {classes} classes; a mask holds 2 to {IGNORE} (ids 0–{IGNORE - 1}, {IGNORE} = ignore)."
        )


def _finish(
    band: Tensor, mask: MaskArray, probabilities: NDArray[np.float16] | None, watch: Callable[[Tensor], None] | None
) -> None:
    """Turns finished rows of logits into class ids and probabilities, a few rows at a time."""
    for start in range(0, len(mask), FINISHED_ROWS):
        rows = slice(start, start + FINISHED_ROWS)
        best, ids = band[:, rows].max(dim=0)
        if not best.isfinite().all():
            raise ValueError(
                "the network's logits hold NaN or infinity, so they name no class. Half precision may overflow: try "
                "trainer.precision: 32-true; if that does not help, the checkpoint holds broken weights."
            )
        mask[rows] = ids.to(torch.uint8).cpu().numpy()
        if probabilities is None and watch is None:
            continue
        finished = band[:, rows].softmax(dim=0)
        if probabilities is not None:
            probabilities[:, rows] = finished.half().cpu().numpy()
        if watch is not None:
            watch(finished.unsqueeze(0))


def _shift_up(band: Tensor, rows: int) -> None:
    """Drops the first rows of the band in place and appends zeros; a copy of the rest would cost half a band more."""
    kept = band.shape[1] - rows
    for start in range(0, kept, rows):  # pieces of at most ``rows``, so that none overlaps its own destination
        stop = min(start + rows, kept)
        band[:, start:stop] = band[:, start + rows : stop + rows]
    band[:, kept:] = 0

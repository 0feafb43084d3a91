"""Drawing rare classes more often (DAFormer, CVPR 2022)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from datamodules.batch import RareClassSampling
from datamodules.samplers import stream_generator


def class_frequencies(pixels: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Returns the share of each class in all labelled pixels.

    Args:
        pixels: (images, classes) pixel counts.

    Returns:
        (classes) shares; they sum to 1, or are all 0 if no pixel is labelled.
    """
    # uint32 would overflow at two thousand photographs.
    sums = pixels.sum(axis=0, dtype=np.uint64)
    frequencies: NDArray[np.float64] = sums / max(int(sums.sum()), 1)
    return frequencies


def class_probabilities(pixels: NDArray[np.uint32], sampling: RareClassSampling) -> NDArray[np.float64]:
    """Returns how probable a draw picks each class: softmax((1 − f_c) / temperature).

    Args:
        pixels: (images, classes) pixel counts.
        sampling: the temperature, and the pixels that an image of a class has at least.

    Returns:
        (classes) probabilities, 0 for classes that no image has enough pixels of.

    Raises:
        ValueError: if that is so for every class.
    """
    drawn = pixels.max(axis=0, initial=0) >= sampling.minimum_pixels
    if not drawn.any():
        raise ValueError(
            f"rare_class_sampling.minimum_pixels is {sampling.minimum_pixels}, but no image has as many pixels of any "
            f"class: the most is {pixels.max(initial=0)}. Lower it."
        )
    frequencies = class_frequencies(pixels)
    # The largest exponent is 0, so nothing overflows however small the temperature.
    with np.errstate(over="ignore"):
        exponents = (frequencies[drawn].min() - frequencies) / sampling.temperature
    weights = np.where(drawn, np.exp(np.minimum(exponents, 0)), 0)
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities


def left_out_classes(pixels: NDArray[np.uint32], sampling: RareClassSampling, classes: Sequence[str]) -> list[str]:
    """Returns the classes that are never drawn as a wanted one, each with the reason, such as ``train (no pixel)``.

    Args:
        pixels: (images, classes) pixel counts.
        sampling: the pixels that an image of a class has at least.
        classes: the class names.
    """
    most = pixels.max(axis=0, initial=0).tolist()
    return [
        f"{name} (no image has {sampling.minimum_pixels} pixels of it; the most is {count})"
        if count
        else f"{name} (no pixel)"
        for name, count in zip(classes, most, strict=True)
        if count < sampling.minimum_pixels
    ]


class RareClasses:
    """Draw k picks a class by its rarity, and then an image that has enough of it, by a generator seeded by k.

    Args:
        pixels: (images, classes) pixel counts of the stream's images.
        sampling: the temperature, and the pixels that an image of a class has at least.
        seed: the seed of the data.
        stream: the name of the stream.

    Raises:
        ValueError: if no image has enough pixels of any class.
    """

    def __init__(self, pixels: NDArray[np.uint32], sampling: RareClassSampling, seed: int, stream: str) -> None:
        self.size = len(pixels)
        self.seed = seed
        self.stream = stream
        try:
            cumulative = np.cumsum(class_probabilities(pixels, sampling))
        except ValueError as error:
            raise ValueError(f"{stream}: {error}") from error
        self._cumulative = cumulative / cumulative[-1]
        # The images of class c are _images[_starts[c] : _starts[c + 1]]: 4 bytes each.
        images = [np.flatnonzero(counts >= sampling.minimum_pixels).astype(np.int32) for counts in pixels.T]
        self._images = np.concatenate(images)
        self._starts = np.cumsum([0, *map(len, images)])

    def __call__(self, draws: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns (N) indices and (N) wanted classes."""
        chances = np.array(
            [stream_generator(self.seed, f"rare/{self.stream}", number).random(2) for number in draws.tolist()]
        ).reshape(-1, 2)
        wanted = np.searchsorted(self._cumulative, chances[:, 0], side="right")
        starts = self._starts[wanted]
        positions = starts + (chances[:, 1] * (self._starts[wanted + 1] - starts)).astype(np.int64)
        return self._images[positions].astype(np.int64), wanted.astype(np.int64)

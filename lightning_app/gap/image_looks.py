"""What an image looks like to no network: its colours and its low frequencies."""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from datamodules.dataset import to_values

_SIDE = 64
HIGHEST_FREQUENCY = 5
"""In cycles an image: the square of frequencies that FourierStyle exchanges with a beta of up to 0.08."""


def colours(pixels: Tensor) -> Tensor:
    """Returns colours as L*a*b*, where a distance of 1 can just be seen; per cent of the range if they are not RGB.

    Args:
        pixels: (N, C) float32 in [0, 1].

    Returns:
        (N, C) float32.
    """
    if pixels.shape[1] != 3:
        return 100 * pixels
    lab = cv2.cvtColor(np.ascontiguousarray(pixels.numpy()[:, None]), cv2.COLOR_RGB2LAB)
    return torch.from_numpy(lab[:, 0].astype(np.float32))


def low_spectrum(image: Tensor) -> Tensor:
    """Returns log |F| of the lowest frequencies of each channel, in nats.

    F is the Fourier transform of the image scaled to 64 × 64 pixels, divided by the number of pixels, so that images of
    all sizes compare: frequencies count in cycles an image, as in FourierStyle. An amplitude below that of noise whose
    standard deviation is one of 255 grey levels counts as that.

    Args:
        image: (1, C, H, W) uint8, or float in [0, 1].

    Returns:
        (C · 11 · 6,) float32: the square from −5 to 5 cycles, of which one half mirrors the other.
    """
    size = (_SIDE, _SIDE)
    # Channel by channel: only one at a time is held as floats.
    small = torch.cat(
        [
            functional.interpolate(to_values(one), size, mode="bilinear", align_corners=False, antialias=True)
            for one in torch.split(image, 1, dim=1)
        ],
        dim=1,
    )
    amplitudes = torch.fft.rfft2(small, norm="forward").abs()
    rows = [*range(HIGHEST_FREQUENCY + 1), *range(-HIGHEST_FREQUENCY, 0)]
    low = amplitudes[..., rows, : HIGHEST_FREQUENCY + 1]
    logarithms: Tensor = low.clamp_min(1 / (255 * _SIDE)).log().flatten()
    return logarithms

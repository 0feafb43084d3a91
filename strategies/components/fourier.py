"""The style of an image as the amplitudes of its lowest frequencies."""

import math

import torch
from torch import Tensor


@torch.no_grad()
def fourier_style(image: Tensor, style: Tensor, beta: float) -> Tensor:
    """Gives images the amplitudes that other images have at low frequencies, and leaves their phases.

    With the discrete Fourier transform F of each channel, the result is the inverse transform of
    |F(style)| · e^{i∠F(image)} in the centred square of frequencies from −b to b, b = ⌊beta · min(H, W)⌋, and of
    F(image) outside of it, clipped to [0, 1]. With b = 0 only the zero frequency is exchanged: each channel's mean.

    Reference: Yang and Soatto, FDA, CVPR 2020, https://arxiv.org/abs/2004.05498. The square is that of the authors'
    numpy code, 2b + 1 wide; their torch code leaves out the last row and column, and with b = 0 everything.

    Args:
        image: (B, C, H, W) float in [0, 1], not normalised: a mean below 0 would lose its sign with the phase kept.
        style: (B, C, H, W), where the amplitudes come from.
        beta: share of the shorter side, in (0, 0.5].

    Returns:
        (B, C, H, W) float32 in [0, 1], without a graph.
    """
    height, width = image.shape[-2:]
    half = math.floor(min(height, width) * beta)
    with torch.autocast(image.device.type, enabled=False):
        spectrum, wanted = torch.fft.rfft2(image.float()), torch.fft.rfft2(style.float())
        # The zero frequency comes first, the negative rows last; columns below 0 mirror those above.
        for rows in (slice(0, half + 1), slice(height - half, height)):
            low = spectrum[..., rows, : half + 1]
            low.copy_(torch.polar(wanted[..., rows, : half + 1].abs(), low.angle()))
        styled: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    return styled.clamp_(0, 1)

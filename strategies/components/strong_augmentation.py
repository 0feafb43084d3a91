"""Colour jitter and blur of a whole batch on the device: the strong view of self-training."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# Luma, and the two chroma axes in whose plane the hue is an angle (NTSC).
_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


class StrongAugmentation(nn.Module):
    """Changes the colours of images and blurs them, each image by draws of its own.

    Brightness, contrast (about the mean luma) and saturation are multiplied by factors drawn from [1 − jitter,
    1 + jitter], and the hue is turned by up to ± jitter of a full turn. All four are linear in a pixel's RGB (the hue
    is turned in the YIQ plane) and commute, so that one 3 × 3 matrix an image does them, and values are clipped once
    at the end. torchvision's and kornia's jitter do the same in four passes, the hue by way of HSV: torchvision draws
    once for the whole batch, and kornia would be one more dependency. Images with other than 3 channels have no
    saturation and no hue, and the mean over the channels for luma.

    Differs from DACS: its kornia of 2020 adds to the brightness, by up to ± jitter, scales the contrast about black and
    the saturation in HSV, goes through the four in an order of chance and clips after each. Its blur's kernel is a
    tenth of the image wide; this one ends at three standard deviations of the widest.

    Args:
        jitter: strength of the colour jitter, in [0, 0.5]; DACS has 0.25 and DAFormer 0.2.
        jitter_chance: share of images that are jittered, in [0, 1].
        blur_chance: share of images that are blurred, in [0, 1].
        blur_sigma: smallest and largest standard deviation of the Gaussian blur, in pixels, above 0.

    Raises:
        ValueError: if a number is out of range.
    """

    to_yiq: Tensor
    from_yiq: Tensor

    def __init__(
        self,
        jitter: float = 0.25,
        jitter_chance: float = 0.8,
        blur_chance: float = 0.5,
        blur_sigma: tuple[float, float] = (0.15, 1.15),
    ) -> None:
        super().__init__()
        if not 0 <= jitter <= 0.5:
            raise ValueError(f"StrongAugmentation.jitter is {jitter}; it is in [0, 0.5].")
        for name, chance in (("jitter_chance", jitter_chance), ("blur_chance", blur_chance)):
            if not 0 <= chance <= 1:
                raise ValueError(f"StrongAugmentation.{name} is {chance}; it is a share in [0, 1].")
        if not 0 < blur_sigma[0] <= blur_sigma[1]:
            raise ValueError(
                f"StrongAugmentation.blur_sigma is {list(blur_sigma)}; it is a smallest and a largest number above 0."
            )
        self.jitter = jitter
        self.jitter_chance = jitter_chance
        self.blur_chance = blur_chance
        self.blur_sigma = blur_sigma
        # On the device before the first step: to send them there in a step would be to wait for it.
        self.register_buffer("to_yiq", torch.tensor(_YIQ), persistent=False)
        self.register_buffer("from_yiq", torch.linalg.inv(torch.tensor(_YIQ)), persistent=False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Returns new images.

        Args:
            image: (B, C, H, W) float32 in [0, 1].
        """
        with torch.autocast(image.device.type, enabled=False):
            return self._blurred(self._jittered(image))

    def _jittered(self, image: Tensor) -> Tensor:
        count, channels = image.shape[:2]

        def uniform() -> Tensor:
            # Under true half precision neither torch's default type nor the buffers' is float32.
            return torch.rand(count, 1, 1, device=image.device, dtype=torch.float32)

        brightness, contrast, saturation, hue = (1 + self.jitter * (2 * uniform() - 1) for _ in range(4))
        identity = torch.eye(channels, device=image.device, dtype=torch.float32).expand(count, -1, -1)
        matrix, luma = identity, identity.mean(dim=1, keepdim=True)
        if channels == 3:
            to_yiq, from_yiq = self.to_yiq.float(), self.from_yiq.float()
            angle = 2 * math.pi * (hue - 1)
            chroma = torch.cat([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(count, 2, 2)
            turned = functional.pad(saturation * chroma, (1, 0, 1, 0))
            turned[:, 0, 0] = 1  # luma stays
            matrix, luma = from_yiq @ turned @ to_yiq, to_yiq[:1]
        matrix = brightness * matrix
        # Contrast moves all values away from the image's mean grey, or towards it.
        grey = luma @ matrix @ image.mean(dim=(2, 3)).unsqueeze(2)
        matrix, offset = contrast * matrix, (1 - contrast) * grey
        chosen = uniform() < self.jitter_chance
        matrix, offset = torch.where(chosen, matrix, identity), torch.where(chosen, offset, 0)
        return torch.baddbmm(offset, matrix, image.flatten(2)).clamp_(0, 1).view_as(image)

    def _blurred(self, image: Tensor) -> Tensor:
        count, channels, height, width = image.shape
        low, high = self.blur_sigma
        drawn = torch.rand(2, count, 1, device=image.device, dtype=torch.float32)
        sigma, chosen = low + (high - low) * drawn[0], drawn[1] < self.blur_chance
        # Beyond three deviations lies a quarter of a percent: a kernel of a tenth of the image would be mostly that.
        radius = min(math.ceil(3 * high), height - 1, width - 1)
        place = torch.arange(-radius, radius + 1, device=image.device)
        kernel = (-0.5 * (place / sigma).square()).exp()
        kernel = torch.where(chosen, kernel / kernel.sum(dim=1, keepdim=True), (place == 0).float())
        kernel = kernel.repeat_interleave(channels, dim=0)[:, None, :, None]
        together = image.reshape(1, count * channels, height, width)
        for weight, margin in ((kernel, (0, 0, radius, radius)), (kernel.transpose(2, 3), (radius, radius, 0, 0))):
            together = functional.conv2d(
                functional.pad(together, margin, mode="reflect"), weight, groups=count * channels
            )
        return together.view_as(image)

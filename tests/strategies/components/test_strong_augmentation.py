"""Colour jitter and blur against torchvision, scipy and a rotation in YIQ written out."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torchvision.transforms.v2.functional import adjust_brightness, adjust_contrast, adjust_saturation, gaussian_blur

from strategies.components.strong_augmentation import StrongAugmentation


def random_images(count: int, channels: int = 3, low: float = 0.0, high: float = 1.0, side: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return low + (high - low) * torch.rand(count, channels, side, side, generator=generator)


def jitter_only(**settings: Any) -> StrongAugmentation:
    return StrongAugmentation(**{"jitter_chance": 1.0, "blur_chance": 0.0, **settings})


def blur_only(**settings: Any) -> StrongAugmentation:
    return StrongAugmentation(**{"jitter_chance": 0.0, "blur_chance": 1.0, **settings})


def luma_and_chroma(image: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
    """Luma, and I + iQ by their definition as differences to it."""
    red, green, blue = image.double().numpy()
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    i = 0.736 * (red - luma) - 0.268 * (blue - luma)
    q = 0.478 * (red - luma) + 0.413 * (blue - luma)
    return luma, i + 1j * q


def to_image(luma: NDArray[Any], chroma: NDArray[Any]) -> Tensor:
    """The textbook's inverse."""
    i, q = chroma.real, chroma.imag
    planes = luma + 0.956 * i + 0.621 * q, luma - 0.272 * i - 0.647 * q, luma - 1.106 * i + 1.703 * q
    return torch.from_numpy(np.stack(planes)).float()


def drawn_factors(before: Tensor, after: Tensor) -> tuple[float, float, float, float]:
    """Brightness, contrast, saturation and hue (in turns) that made one image of another where nothing was clipped."""
    old_luma, old_chroma = luma_and_chroma(before)
    luma, chroma = luma_and_chroma(after)
    brightness = luma.mean() / old_luma.mean()
    slope = ((luma - luma.mean()) * (old_luma - old_luma.mean())).sum() / ((old_luma - old_luma.mean()) ** 2).sum()
    turned = (chroma * old_chroma.conj()).sum() / (abs(old_chroma) ** 2).sum()
    return brightness, slope / brightness, abs(turned) / slope, np.angle(turned) / (2 * np.pi)


def test_jitter_is_torchvisions_with_the_hue_turned_in_yiq() -> None:
    torch.manual_seed(0)
    before = random_images(20, low=0.45, high=0.55)
    after = jitter_only()(before)
    for old, new in zip(before, after, strict=True):
        brightness, contrast, saturation, hue = drawn_factors(old, new)
        luma, chroma = luma_and_chroma(old)
        wanted = to_image(luma, chroma * np.exp(2j * np.pi * hue))
        wanted = adjust_contrast(adjust_brightness(adjust_saturation(wanted, saturation), brightness), contrast)
        torch.testing.assert_close(new, wanted, rtol=0, atol=1e-3)
        assert not torch.allclose(new, old, atol=0.01)


def test_factors_are_drawn_evenly_and_apart_for_each_image() -> None:
    torch.manual_seed(0)
    # Bluish, so that the mean luma is not the mean of the channels, and far from being clipped.
    before = random_images(1, low=-0.02, high=0.02) + torch.tensor([0.25, 0.25, 0.55]).view(3, 1, 1)
    before = before.expand(1000, -1, -1, -1)
    after = jitter_only(jitter=0.2)(before)
    drawn = np.array([drawn_factors(old, new) for old, new in zip(before, after, strict=True)]) - [1, 1, 1, 0]
    for factor in drawn.T:
        assert abs(factor).max() < 0.203 and factor.min() < -0.19 and factor.max() > 0.19
        for share in (0.25, 0.5, 0.75):
            assert (factor < 0.2 * (2 * share - 1)).mean() == pytest.approx(share, abs=0.05)
    assert abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.1


@pytest.mark.parametrize("channels", [1, 5])
def test_images_of_other_channels_have_brightness_and_contrast_alone(channels: int) -> None:
    torch.manual_seed(0)
    before = random_images(10, channels, low=0.4, high=0.6)
    after = jitter_only()(before)
    for old, new in zip(before, after, strict=True):
        brightness = float(new.mean() / old.mean())
        contrast = float(new.std() / old.std() / brightness)
        assert 0.75 <= brightness <= 1.25 and 0.75 <= contrast <= 1.25
        grey = (brightness * old).mean()
        torch.testing.assert_close(new, grey + contrast * (brightness * old - grey), rtol=0, atol=1e-4)


def test_grey_stays_grey() -> None:
    torch.manual_seed(0)
    after = jitter_only(jitter=0.5)(random_images(10, 1).expand(-1, 3, -1, -1))
    torch.testing.assert_close(after, after[:, :1].expand_as(after), rtol=0, atol=1e-5)


def test_values_stay_in_their_range_and_the_given_images_as_they_are() -> None:
    torch.manual_seed(0)
    before = random_images(30)
    kept = before.clone()
    after = StrongAugmentation(jitter=0.5, blur_chance=0.2)(before)
    assert torch.equal(before, kept)
    assert after.shape == before.shape
    assert after.min() == 0 and after.max() == 1, "nothing was clipped"


@pytest.mark.parametrize(("setting", "chance"), [({"blur_chance": 0}, 0.8), ({"jitter_chance": 0}, 0.5)])
def test_the_share_of_images_that_change_is_dacss(setting: Any, chance: float) -> None:
    torch.manual_seed(0)
    # A deviation of 0.15 pixels is no blur that float32 could see.
    augmentation = StrongAugmentation(**setting, blur_sigma=(0.5, 1.15))
    before = random_images(1, side=6).expand(2000, -1, -1, -1)
    after = augmentation(before)
    changed = (after - before).abs().amax(dim=(1, 2, 3)) > 1e-6
    assert changed.float().mean() == pytest.approx(chance, abs=0.03)
    assert torch.equal(after[~changed], before[~changed])


def test_a_chance_of_zero_changes_nothing() -> None:
    before = random_images(3)
    assert torch.equal(StrongAugmentation(jitter_chance=0, blur_chance=0)(before), before)


def test_blur_is_a_gaussian_with_reflected_margins() -> None:
    """The first channel is a point, which shows the deviation that was drawn; the second is any picture."""
    torch.manual_seed(0)
    before = random_images(60, 2, side=21)
    before[:, 0] = 0
    before[:, 0, 10, 10] = 1
    found = []
    for old, new in zip(before, blur_only()(before), strict=True):
        sigma = float((-0.5 / (new[0, 10, 11] / new[0, 10, 10]).log()).sqrt())
        found.append(sigma)
        torch.testing.assert_close(new, gaussian_blur(old, [9, 9], [sigma, sigma]), rtol=0, atol=1e-4)
        scipys = gaussian_filter(old[1].double().numpy(), sigma, mode="mirror", radius=4)
        np.testing.assert_allclose(new[1].numpy(), scipys, atol=1e-4)
    assert min(found) >= 0.15 and max(found) <= 1.151
    assert sum(sigma > 0.65 for sigma in found) == pytest.approx(30, abs=9)


def test_a_wide_blur_has_a_kernel_to_match() -> None:
    torch.manual_seed(0)
    before = random_images(1, 1, side=41)
    after = blur_only(blur_sigma=(3, 3))(before)
    np.testing.assert_allclose(after[0, 0].numpy(), gaussian_filter(before[0, 0].numpy(), 3, mode="mirror"), atol=2e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (5, 40)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_images_smaller_than_the_kernel_are_blurred_within_themselves(size: tuple[int, int], channels: int) -> None:
    torch.manual_seed(0)
    before = torch.rand(2, channels, *size)
    after = blur_only(blur_sigma=(1.15, 1.15))(before)
    assert after.shape == before.shape
    # A mean with positive weights, reflected: no value is new.
    assert after.amin() >= before.amin() - 1e-6 and after.amax() <= before.amax() + 1e-6
    torch.testing.assert_close(blur_only()(torch.full_like(before, 0.3)), torch.full_like(before, 0.3))


def test_half_precision_computes_in_float32() -> None:
    before = random_images(4)
    torch.manual_seed(0)
    wanted = StrongAugmentation(jitter_chance=1, blur_chance=1)(before)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = StrongAugmentation(jitter_chance=1, blur_chance=1)(before)
    assert found.dtype == torch.float32 and torch.equal(found, wanted)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"jitter": 0.6}, r"StrongAugmentation\.jitter is 0\.6; it is in \[0, 0\.5\]"),
        ({"jitter_chance": 80}, r"StrongAugmentation\.jitter_chance is 80; it is a share"),
        ({"blur_chance": -0.1}, r"StrongAugmentation\.blur_chance is -0\.1"),
        ({"blur_sigma": (0, 1)}, r"StrongAugmentation\.blur_sigma is \[0, 1\]"),
        ({"blur_sigma": (2, 1)}, r"blur_sigma is \[2, 1\]; it is a smallest and a largest number above 0"),
    ],
)
def test_numbers_out_of_range_are_refused(setting: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StrongAugmentation(**setting)

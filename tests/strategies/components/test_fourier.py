"""Fourier style against the paper's formula in numpy, cell by cell over the centred square of the shifted spectrum."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from strategies.components.fourier import fourier_style


def images(*shape: int, seed: int = 0, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def shifted(image: Tensor) -> NDArray[Any]:
    return np.fft.fftshift(np.fft.fft2(image.double().numpy(), axes=(-2, -1)), axes=(-2, -1))


def by_hand(image: Tensor, style: Tensor, beta: float) -> NDArray[Any]:
    spectrum, other = shifted(image), shifted(style)
    height, width = image.shape[-2:]
    half = math.floor(min(height, width) * beta)
    for row in range(height // 2 - half, height // 2 + half + 1):
        for column in range(width // 2 - half, width // 2 + half + 1):
            if row < height and column < width:  # an even side has one negative frequency more than positive ones
                phase = np.angle(spectrum[..., row, column])
                spectrum[..., row, column] = np.abs(other[..., row, column]) * np.exp(1j * phase)
    mixed = np.fft.ifft2(np.fft.ifftshift(spectrum, axes=(-2, -1)), axes=(-2, -1))
    assert np.abs(mixed.imag).max() < 1e-12
    return np.clip(mixed.real, 0, 1)


@pytest.mark.parametrize("beta", [0.01, 0.05, 0.09, 0.25, 0.5])
@pytest.mark.parametrize("size", [(32, 48), (48, 32), (31, 45), (32, 45), (31, 48), (24, 24), (1, 7)])
def test_values_are_those_of_the_written_out_formula(size: tuple[int, int], beta: float) -> None:
    image, style = images(2, 3, *size), images(2, 3, *size, seed=1, high=0.6)
    np.testing.assert_allclose(fourier_style(image, style, beta).numpy(), by_hand(image, style, beta), atol=2e-6)


def test_phases_stay_and_amplitudes_change_within_the_square_alone() -> None:
    # Of so little contrast that nothing is clipped.
    image, style = images(1, 3, 40, 40, low=0.45, high=0.55), images(1, 3, 40, 40, seed=1, low=0.3, high=0.5)
    found, own, wanted = (shifted(one) for one in (fourier_style(image, style, 0.1), image, style))
    square = np.zeros((40, 40), dtype=bool)
    square[20 - 4 : 20 + 5, 20 - 4 : 20 + 5] = True
    np.testing.assert_allclose(found[..., ~square], own[..., ~square], atol=2e-4)
    np.testing.assert_allclose(np.abs(found[..., square]), np.abs(wanted[..., square]), rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(np.exp(1j * np.angle(found)), np.exp(1j * np.angle(own)), atol=5e-3)


@pytest.mark.parametrize("beta", [0.01, 0.2, 0.5])
def test_an_image_in_its_own_style_is_unchanged(beta: float) -> None:
    image = images(2, 3, 31, 48)
    torch.testing.assert_close(fourier_style(image, image, beta), image, rtol=0, atol=1e-6)


def test_small_crops_exchange_the_means_alone() -> None:
    image, style = images(2, 3, 99, 120, low=0.5, high=0.7), images(2, 3, 99, 120, seed=1, low=0.1, high=0.4)
    means = [one.mean(dim=(2, 3), keepdim=True) for one in (image, style)]
    torch.testing.assert_close(fourier_style(image, style, 0.01), image - means[0] + means[1], rtol=0, atol=1e-6)
    larger = [images(1, 1, 100, 120, seed=seed) for seed in (0, 1)]
    assert (fourier_style(*larger, 0.01) - larger[0]).std() > 1e-3


@pytest.mark.parametrize("beta", [0.01, 0.1])
def test_day_becomes_as_dark_as_dusk(beta: float) -> None:
    day, dusk = images(1, 3, 64, 64, low=0.4, high=0.8), images(1, 3, 64, 64, seed=1, low=0.2, high=0.4)
    styled = fourier_style(day, dusk, beta)
    assert styled.min() > 0 and styled.max() < 1
    torch.testing.assert_close(styled.mean(dim=(2, 3)), dusk.mean(dim=(2, 3)), rtol=0, atol=1e-6)


def test_values_stay_in_the_range_of_images() -> None:
    styled = fourier_style(images(1, 3, 64, 64), images(1, 3, 64, 64, seed=1, high=0.05), 0.05)
    assert styled.min() == 0 and styled.max() <= 1
    for empty in (torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)):
        for pair in ((empty, images(1, 3, 16, 16)), (images(1, 3, 16, 16), empty)):
            assert fourier_style(*pair, 0.2).isfinite().all()


def test_neither_image_is_touched_and_none_gets_a_gradient() -> None:
    image, style = images(1, 3, 16, 16).requires_grad_(), images(1, 3, 16, 16, seed=1).requires_grad_()
    before = image.detach().clone(), style.detach().clone()
    assert not fourier_style(image, style, 0.2).requires_grad
    assert torch.equal(image, before[0]) and torch.equal(style, before[1])


def test_half_precision_around_it_changes_nothing() -> None:
    image, style = images(2, 3, 32, 32), images(2, 3, 32, 32, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = fourier_style(image, style, 0.1)
    assert found.dtype == torch.float32 and torch.equal(found, fourier_style(image, style, 0.1))
    np.testing.assert_allclose(
        fourier_style(image.bfloat16(), style.bfloat16(), 0.1).numpy(),
        by_hand(image.bfloat16(), style.bfloat16(), 0.1),
        atol=2e-6,
    )

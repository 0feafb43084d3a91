"""Steps of methods in the order of work of their reference implementations, with nothing but PyTorch and torchvision.

Written from the papers and from what the reference codes do in a step, for ``benchmarks.passes`` and
``benchmarks.gpu``: the same network, the same batch, one optimizer. Where a reference uses kornia, torchvision's
transform of the same name stands in.
"""

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torchvision.transforms import v2

from datamodules.batch import IGNORE, Batch

ReferenceStep = Callable[[Batch, int], None]
"""Does one step on a batch; the number is the step's index."""


def dacs(network: nn.Module, optimizer: Optimizer, masked: bool = False) -> ReferenceStep:
    """Makes DACS's step: teacher, class mix image by image, both losses in one backward, teacher's average.

    Args:
        network: what is trained.
        optimizer: of its parameters.
        masked: whether MIC's masked target is a third loss, on the labels of the same teacher pass; as MIC does, each
            loss is then back-propagated by itself.
    """
    teacher = copy.deepcopy(network).requires_grad_(False)

    def step(batch: Batch, index: int) -> None:
        source, mask, target = batch["source"]["image"], batch["source"]["mask"], batch["target"]["image"]
        optimizer.zero_grad()
        supervised = functional.cross_entropy(network(source), mask, ignore_index=IGNORE)
        if masked:
            torch.autograd.backward(supervised)
        with torch.no_grad():
            confidence, labels = teacher(target).softmax(dim=1).max(dim=1)
        share = (confidence >= 0.968).sum().item() / confidence.numel()
        images, masks, weights = [], [], []
        for number in range(len(source)):
            present = torch.unique(mask[number])
            chosen = present[torch.randperm(len(present), device=mask.device)[: math.ceil(len(present) / 2)]]
            pasted = torch.isin(mask[number], chosen)
            images.append(pasted * source[number] + ~pasted * target[number])
            masks.append(torch.where(pasted, mask[number], labels[number]))
            weights.append(torch.where(pasted, 1.0, share))
        mixed = cross_entropy(network(_strong(torch.stack(images))), torch.stack(masks), torch.stack(weights))
        if not masked:
            torch.autograd.backward(supervised + mixed)
        else:
            torch.autograd.backward(mixed)
            height, width = target.shape[-2:]
            coarse = (
                torch.rand(len(target), 1, math.ceil(height / 64), math.ceil(width / 64), device=target.device) > 0.7
            )
            kept = functional.interpolate(coarse.float(), scale_factor=64, mode="nearest")[..., :height, :width]
            logits = network(_strong(target) * kept)
            torch.autograd.backward(cross_entropy(logits, labels, torch.full_like(confidence, share)))
        optimizer.step()
        momentum = min(1 - 1 / (index + 1), 0.99)
        for ours, theirs in zip(teacher.parameters(), network.parameters(), strict=True):
            ours.data[:] = momentum * ours.data[:] + (1 - momentum) * theirs.data[:]

    return step


def fda(network: nn.Module, optimizer: Optimizer) -> ReferenceStep:
    """Makes FDA's step: the source in the target's style by NumPy, as its data set does, then two losses.

    Args:
        network: what is trained.
        optimizer: of its parameters.
    """

    def step(batch: Batch, index: int) -> None:
        source, mask, target = batch["source"]["image"], batch["source"]["mask"], batch["target"]["image"]
        pairs = zip(source.cpu().numpy(), target.cpu().numpy(), strict=True)
        styled = torch.from_numpy(np.stack([_styled(ours, theirs) for ours, theirs in pairs])).to(source.device)
        optimizer.zero_grad()
        supervised = functional.cross_entropy(network(styled), mask, ignore_index=IGNORE)
        log_probabilities = network(target).log_softmax(dim=1)
        entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=1) / math.log(log_probabilities.shape[1])
        torch.autograd.backward(supervised + 0.005 * (entropy**2 + 1e-8).pow(2).mean())
        optimizer.step()

    return step


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Returns the mean over all pixels of weight times cross-entropy."""
    return (weights * functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")).mean()


def _strong(image: Tensor) -> Tensor:
    if torch.rand(()).item() > 0.2:
        image = v2.ColorJitter(0.25, 0.25, 0.25, 0.25)(image)
    if torch.rand(()).item() > 0.5:
        sides = [2 * (math.ceil(0.1 * side) // 2) + 1 for side in image.shape[-2:]]
        image = v2.GaussianBlur(sides[::-1], (0.15, 1.15))(image)
    return image


def _styled(source: NDArray[np.float32], target: NDArray[np.float32], beta: float = 0.01) -> NDArray[np.float32]:
    ours, theirs = np.fft.fft2(source, axes=(-2, -1)), np.fft.fft2(target, axes=(-2, -1))
    amplitude = np.fft.fftshift(np.abs(ours), axes=(-2, -1))
    height, width = amplitude.shape[-2:]
    half = math.floor(min(height, width) * beta)
    rows = slice(height // 2 - half, height // 2 + half + 1)
    columns = slice(width // 2 - half, width // 2 + half + 1)
    amplitude[:, rows, columns] = np.fft.fftshift(np.abs(theirs), axes=(-2, -1))[:, rows, columns]
    amplitude = np.fft.ifftshift(amplitude, axes=(-2, -1))
    image = np.fft.ifft2(amplitude * np.exp(1j * np.angle(ours)), axes=(-2, -1)).real
    return np.clip(image, 0, 1).astype(np.float32)

"""A step of self-training with a mean teacher, written out from the DACS paper, and what a test of one needs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from strategies import MeanTeacher, Step
from strategies.components.strong_augmentation import StrongAugmentation

CLASSES = [f"class {number}" for number in range(10)]
UNCHANGED = StrongAugmentation(jitter_chance=0, blur_chance=0)
"""A strong view that is the image, so that a test sees what was mixed."""


def make_batch(size: tuple[int, int] = (16, 24), labelled: bool = False, seed: int = 0) -> Any:
    """A batch of noise with masks in blocks, of which some are 255."""
    generator = torch.Generator().manual_seed(seed)

    def images() -> Tensor:
        return torch.rand(2, 3, *size, generator=generator)

    def masks() -> Tensor:
        blocks = torch.randint(0, 11, (2, size[0] // 8, size[1] // 8), generator=generator)
        return blocks.where(blocks < 10, 255).repeat_interleave(8, 1).repeat_interleave(8, 2)

    batch = {"source": {"image": images(), "mask": masks(), "name": []}, "target": {"image": images(), "name": []}}
    if labelled:
        batch["labelled_target"] = {"image": images(), "mask": masks(), "name": []}
    return batch


@dataclass
class Ran:
    """One step of a strategy.

    Attributes:
        network: the student.
        terms: by name.
        gradients: of the terms' sum, by parameter of the student; zeros where there is none.
        seen: the images that the student saw, in order.
        step: the step, with what it logged and shared.
    """

    network: Any
    terms: dict[str, Tensor]
    gradients: list[Tensor]
    seen: list[Tensor]
    step: Step


def gradients(loss: Tensor, network: nn.Module) -> list[Tensor]:
    """Returns the gradient of a loss by each parameter, zeros where there is none."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return list(torch.autograd.grad(loss, parameters, materialize_grads=True))


def run(strategy: MeanTeacher, batch: Any, chance: int = 0) -> Ran:
    """Runs one step with a network that normalises by the batch, and a teacher unlike it."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, len(CLASSES), 1)
    network: Any = nn.Sequential(*layers).train()
    strategy.build(network, CLASSES)
    generator = torch.Generator().manual_seed(7)
    for parameter in strategy.mean_teacher.network.parameters():
        parameter.mul_(1 + 0.3 * torch.randn(parameter.shape, generator=generator))
    seen: list[Tensor] = []
    hook = network.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    torch.manual_seed(chance)
    step = Step(3, 10)
    terms = {name: value for named in strategy.losses(network, batch, step) for name, value in named.items()}
    hook.remove()
    return Ran(network, terms, gradients(torch.stack(list(terms.values())).sum(), network), seen, step)


def teacher_says(strategy: MeanTeacher, batch: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """The teacher's labels of the target images and their probabilities."""
    with torch.no_grad():
        logits = strategy.mean_teacher.network(batch["target"]["image"]).double().numpy()
    raw = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    return probabilities.argmax(axis=1), probabilities.max(axis=1)


def cross_entropy(network: nn.Module, image: Tensor, mask: Tensor) -> Tensor:
    """The mean over the pixels that are not 255."""
    counted = mask != 255
    log_likelihoods = network(image).log_softmax(dim=1).movedim(1, -1)[counted]
    return -log_likelihoods[torch.arange(len(log_likelihoods)), mask[counted]].mean()


def written_out(
    network: nn.Module, strategy: MeanTeacher, batch: Any, pasted: Tensor, weighting: str, threshold: float
) -> tuple[Tensor, NDArray[Any], NDArray[Any]]:
    """The loss on the mixed images, pixel by pixel.

    Args:
        network: the student.
        strategy: whose teacher labels.
        batch: the batch.
        pasted: (B, H, W) bool, the pixels that come from the source; nowhere for a plain mean teacher.
        weighting: ``share`` or ``pixel``.
        threshold: of confidence.

    Returns:
        The loss; the mixed labels; which pseudo-labels are confident.
    """
    source, target = batch["source"], batch["target"]["image"]
    pseudo_labels, confidence = teacher_says(strategy, batch)
    share = sum(one >= threshold for one in confidence.flatten()) / confidence.size
    mixed, labels, weights = target.clone(), pseudo_labels.copy(), np.zeros(pseudo_labels.shape)
    for image, row, column in np.ndindex(*labels.shape):
        if pasted[image, row, column]:
            mixed[image, :, row, column] = source["image"][image, :, row, column]
            labels[image, row, column] = source["mask"][image, row, column]
            weights[image, row, column] = 1
        elif weighting == "share":
            weights[image, row, column] = share
        else:
            weights[image, row, column] = confidence[image, row, column] >= threshold
    images, rows, columns = np.nonzero(labels != 255)
    likelihoods = network(mixed).softmax(dim=1)[images, labels[images, rows, columns], rows, columns]
    entropy = -(torch.from_numpy(weights[images, rows, columns]) * likelihoods.log()).sum()
    return entropy.float() / labels.size, labels, confidence >= threshold


def assert_step(ran: Ran, loss: Tensor, batch: Any, weight: float) -> None:
    """The terms are the cross-entropies on what is labelled and the given loss, and so are their gradients."""
    wanted = {"segmentation": cross_entropy(ran.network, batch["source"]["image"], batch["source"]["mask"])}
    if "labelled_target" in batch:
        labelled = batch["labelled_target"]
        wanted["target_segmentation"] = cross_entropy(ran.network, labelled["image"], labelled["mask"])
    wanted["pseudo_labels"] = weight * loss
    assert list(ran.terms) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(ran.terms[name], value, rtol=1e-4, atol=1e-6)
    found, truth = ran.gradients, gradients(torch.stack(list(wanted.values())).sum(), ran.network)
    assert any(one.any() for one in truth)
    for one, other in zip(found, truth, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def assert_logs(
    ran: Ran, mixed_labels: NDArray[Any], confident: NDArray[Any], labels: NDArray[Any], of_target: NDArray[Any]
) -> None:
    """The share of confident pixels, in all and by class, and how often the student says what the teacher does."""
    logged = {name: float(value) for name, value in ran.step.logged.items()}
    wanted = {"pseudo_labels/confident": confident.mean()}
    for number, name in enumerate(CLASSES):
        wanted[f"pseudo_labels/coverage/{name}"] = (confident & (labels == number)).mean()
    answer = ran.network(ran.seen[-1]).argmax(dim=1).numpy()
    wanted["pseudo_labels/agreement"] = (answer == mixed_labels)[of_target].mean()
    assert logged.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(logged[name], value, atol=1e-6, err_msg=name)

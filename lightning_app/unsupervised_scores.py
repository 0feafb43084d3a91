"""Scores of the target that need no labels, from sums over the whole set and all ranks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric

from lightning_app.histograms import jensen_shannon
from lightning_app.probability_sums import ProbabilitySums

TEMPERATURE = 0.05
"""Of the soft neighbourhoods, as in the paper."""
_UNIT = 2**20


class UnsupervisedScores(Metric):
    """Sums what entropy, mutual information, neighbourhood density, class prior and consistency are made of.

    docs/selection.md has the formulas, the papers and what each score is blind to.

    Args:
        classes: number of classes.
    """

    full_state_update = False
    pixels: Tensor
    """() pixels whose probabilities were summed."""
    entropy: Tensor
    """() entropy of the pixels in units of 2⁻²⁰ nats. Whole numbers, so that the sum is the same in any order and on
    any number of ranks; so are the next ones."""
    probabilities: Tensor
    """(classes,) probabilities of the pixels in units of 2⁻²⁰."""
    density: Tensor
    """() soft neighbourhood density of the images in units of 2⁻²⁰ nats."""
    images: Tensor
    """() images."""
    predicted: Tensor
    """(classes,) pixels by predicted class."""
    consistent: Tensor
    """() pixels that have the same class in the flipped image."""
    compared: Tensor
    """() pixels that were predicted in both."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        shapes = {"probabilities": (classes,), "predicted": (classes,)}
        scalars = ("pixels", "entropy", "density", "images", "consistent", "compared")
        for name in (*scalars, *shapes):
            zeros = torch.zeros(shapes.get(name, ()), dtype=torch.int64)
            self.add_state(name, zeros, dist_reduce_fx="sum")

    def update(self, sums: ProbabilitySums, prediction: Tensor, flipped: Tensor | None = None) -> None:
        """Counts some images; nothing leaves the device.

        Args:
            sums: what was told of their probabilities.
            prediction: (B, H, W) class ids.
            flipped: (B, H, W) class ids of the flipped images, flipped back; None if they were not predicted.
        """
        self.pixels = self.pixels + sums.pixels
        self.entropy = self.entropy + _units(torch.stack(sums.entropies)).sum()
        self.probabilities = self.probabilities + _units(torch.stack(sums.probabilities)).sum(dim=0)
        self.density = self.density + _units(soft_neighborhood_density(sums.sample())).sum()
        self.images = self.images + len(prediction)
        self.predicted = self.predicted + torch.bincount(prediction.flatten(), minlength=self.classes)
        if flipped is not None:
            self.consistent = self.consistent + (flipped == prediction).sum()
            self.compared = self.compared + prediction.numel()

    def compute(self, source_pixels: Sequence[int] | None = None) -> dict[str, float]:
        """Returns the scores by name.

        Args:
            source_pixels: labelled pixels of the source by class; None if there are none, and then no ``class_prior``.
        """
        predicted, probabilities = self.predicted.cpu().double(), self.probabilities.cpu().double()
        most = torch.tensor(float(self.classes)).double().log()
        entropy = self.entropy.cpu().double() / _UNIT / self.pixels.cpu() / most
        of_mean = torch.special.entr(probabilities / probabilities.sum()).sum() / most
        scores = {
            "entropy": entropy,
            "mutual_information": of_mean - entropy,
            "snd": self.density.cpu().double() / _UNIT / self.images.cpu(),
        }
        if source_pixels is not None:
            scores["class_prior"] = jensen_shannon(predicted, torch.tensor(source_pixels))
        if self.compared > 0:
            scores["augmentation_consistency"] = self.consistent.cpu().double() / self.compared.cpu()
        return {name: score.item() for name, score in scores.items()}


def soft_neighborhood_density(probabilities: Tensor) -> Tensor:
    """Returns how many neighbours the pixels of each image have among each other, as an entropy.

    That is the mean over the pixels i of −Σ_j P_ij ln P_ij, where P_i is the softmax over all other pixels j of
    cos(p_i, p_j) / 0.05.

    Reference: Saito, Kim, Teterwak, Sclaroff, Darrell and Saenko, Tune it the Right Way: Unsupervised Validation of
    Domain Adaptation via Soft Neighborhood Density, ICCV 2021, https://arxiv.org/abs/2108.10860.

    Args:
        probabilities: (B, N, classes) float32, of N pixels of each image, N > 1.

    Returns:
        (B,) float32 in nats, in [0, ln(N − 1)].
    """
    with torch.autocast(probabilities.device.type, enabled=False):
        directions = functional.normalize(probabilities, dim=2)
        similarities = directions @ directions.mT / TEMPERATURE
        similarities.diagonal(dim1=1, dim2=2).fill_(-torch.inf)  # no pixel is its own neighbour
        density: Tensor = torch.special.entr(similarities.softmax(dim=2)).sum(dim=2).mean(dim=1)
        return density


def _units(values: Tensor) -> Tensor:
    return (values * _UNIT).round().long()

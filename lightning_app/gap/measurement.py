"""All distances between two samples, each beside its floor."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_app.gap.class_gap import ClassGap
from lightning_app.gap.comparisons import Comparison, Positions
from lightning_app.gap.distances import (
    directions,
    frechet,
    normal_divergence,
    proxy_a_distance,
    wasserstein,
)
from lightning_app.gap.domain_sample import DomainSample
from lightning_app.gap.kernel import Kernel, bandwidth, gaussian, image_kernel
from lightning_app.gap.label_shift import corrected_histogram
from lightning_app.gap.measure import Measure
from lightning_app.histograms import jensen_shannon
from strategies.components.moments import coral

DIRECTIONS = 64
PERMUTATIONS = 999
LEAST_PIXELS = 50
LEAST_IMAGES = 4
_KERNEL_PIXELS = 8
_LEAST_DIVISIONS = 40
"""Of so many ways to deal groups to two domains half are mirrored: with fewer no p-value can be as low as 0.05."""


class Measurement:
    """Measures how far apart two samples are.

    Args:
        source: what was kept of the source.
        target: what was kept of the target.
        comparisons: which images are compared.
        label_comparisons: which images are compared by their labels.
        seed: of directions and permutations.
    """

    def __init__(
        self,
        source: DomainSample,
        target: DomainSample,
        comparisons: Sequence[Comparison],
        label_comparisons: Sequence[Comparison],
        seed: int,
    ) -> None:
        self.source, self.target = source, target
        self._comparisons, self._label_comparisons = comparisons, label_comparisons
        self._seed = seed
        self._kernel_of: tuple[str, Kernel] | None = None

    def image_space(self) -> list[Measure]:
        """Returns the distances of colours and of spectra."""
        name = "colour" if self.source["colours"].shape[-1] == 3 else "pixel values"
        return [
            self._measure(name, "image", "colours", lambda a, b: float(wasserstein(*_flat(a, b)).mean())),
            self._measure("spectrum", "image", "spectra", _spectrum_distance),
        ]

    def stage(self, number: int, place: str) -> list[Measure]:
        """Returns the distances between the features of a stage.

        Args:
            number: position of the stage.
            place: what it is called.
        """
        name = f"stage {number}"
        axes = directions(self.source[name].shape[-1], DIRECTIONS, self._seed)
        measures = [
            self._measure("Fréchet", place, name, lambda a, b: frechet(*_flat(a, b))),
            self._measure("CORAL", place, name, lambda a, b: float(coral(*_flat(a, b)))),
            self._measure("sliced Wasserstein", place, name, lambda a, b: _sliced(*_flat(a, b), axes)),
        ]
        if len(self._comparisons[0].first) > 1:
            apart = self._measure("proxy A-distance", place, name, proxy_a_distance)
            measures = [apart, self._mmd(name, place), *measures]
        return measures

    def batch_norm(self, layers: Sequence[tuple[str, int, float]]) -> tuple[Measure, dict[str, float]] | None:
        """Returns the divergence of what BatchNorm layers are given, a channel, and that of each layer.

        Args:
            layers: (name, channels, ε) of the layers, in the order of the channels.

        Returns:
            None if the network has no such layer.
        """
        if "moments" not in self.source.statistics:
            return None
        epsilon = torch.cat([torch.full((channels,), eps, dtype=torch.float64) for _, channels, eps in layers])

        def normals(sample: DomainSample, row: int, images: int) -> tuple[Tensor, Tensor]:
            mean, square = sample.statistics["moments"][row] / images
            # As the layer does: a channel without a variance is no infinite distance.
            return mean, (square - mean.square()).clamp_min(0) + epsilon

        gaps, floors = [], []
        for row, comparison in enumerate(self._comparisons):
            size = len(comparison.first)
            first, second = (normals(self.source, 2 * row + side, size) for side in (0, 1))
            gaps.append(float(normal_divergence(*first, *normals(self.target, row, size)).mean()))
            floors.append(float(normal_divergence(*first, *second).mean()))
        whole = normal_divergence(
            *normals(self.source, -1, len(self.source.names)), *normals(self.target, -1, len(self.target.names))
        )
        parts = torch.split(whole, [channels for _, channels, _ in layers])
        by_layer = {name: float(part.mean()) for (name, _, _), part in zip(layers, parts, strict=True)}
        return Measure("BatchNorm statistics", "encoder", gaps, floors), by_layer

    def labels(self) -> list[Measure]:
        """Returns the divergences of the class histograms; none where there are no labels to compare."""
        source, target = self.source.labels, self.target.labels
        if "mask" not in source:
            return []
        measures = []
        if "mask" in target:
            measures.append(self._histograms("labels", "true", "mask", lambda _, histogram: histogram))
        elif "prediction" in target:
            measures.append(self._histograms("labels", "predicted", "prediction", lambda _, histogram: histogram))

            def corrected(row: int, histogram: Tensor) -> Tensor:
                return corrected_histogram(source["confusion"][row], histogram)

            measures.append(self._histograms("labels", "BBSE", "prediction", corrected))
        return [measure for measure in measures if measure is not None]

    def classes(self, names: Sequence[str]) -> list[ClassGap]:
        """Returns the distance between the pixels of each class; none where there are no labels to go by.

        Args:
            names: the class names.
        """
        samples = (self.source.class_pixels, self.target.class_pixels)
        if not all(len(sample.labels) for sample in samples):
            return []
        return [self._class(class_id, name) for class_id, name in enumerate(names)]

    def likeness(self, name: str) -> tuple[Tensor, Tensor]:
        """Returns how much more like the other domain each image is than like its own, of source and target.

        It is the witness function of MMD²: an image's mean kernel value with the images of the one domain less that
        with those of the other.

        Args:
            name: the stage, such as ``stage 4``.
        """
        images = len(self.source.names)
        is_target = torch.arange(images + len(self.target.names)) >= images
        witness = self._kernel(name).witness(is_target.double(), (~is_target).double())
        return witness[:images], -witness[images:]

    def _measure(self, what: str, place: str, name: str, distance: Callable[[Tensor, Tensor], float]) -> Measure:
        source, target = self.source[name], self.target[name]
        gaps, floors = [], []
        for first, second, others in self._comparisons:
            gaps.append(distance(source[first], target[others]))
            floors.append(distance(source[first], source[second]))
        return Measure(what, place, gaps, floors)

    def _kernel(self, name: str) -> Kernel:
        # One at a time: it holds a number for each pair of images, and only the deepest is asked for again.
        if self._kernel_of is None or self._kernel_of[0] != name:
            features = torch.cat([self.source[name], self.target[name]])[:, :_KERNEL_PIXELS]
            features = features - features.mean(dim=(0, 1))
            values = image_kernel(features, bandwidth(features.flatten(0, 1)))
            self._kernel_of = (name, Kernel(values, torch.arange(len(features))))
        return self._kernel_of[1]

    def _mmd(self, name: str, place: str) -> Measure:
        kernel, images = self._kernel(name), len(self.source.names)
        total = images + len(self.target.names)
        found = []
        for comparison in self._comparisons:
            first, second = _indicator(comparison.first, total), _indicator(comparison.second, total)
            target = _indicator(images + comparison.target, total)
            found.append((float(kernel.mmd(first, target)), float(kernel.mmd(first, second))))
        p_value, is_target = None, [image >= images for image in range(total)]
        source_groups, target_groups = len(set(self.source.groups)), len(set(self.target.groups))
        if math.comb(source_groups + target_groups, target_groups) >= _LEAST_DIVISIONS:
            p_value = kernel.p_value(is_target, [*self.source.groups, *self.target.groups], PERMUTATIONS, self._seed)
        gaps, floors = zip(*found, strict=True)
        return Measure("MMD²", place, gaps, floors, p_value)

    def _histograms(
        self, what: str, place: str, known: str, of_target: Callable[[int, Tensor], Tensor]
    ) -> Measure | None:
        source, target = self.source.labels, self.target.labels
        gaps, floors = [], []
        for row in range(len(self._label_comparisons)):
            first = source["mask"][2 * row]
            seen, other = target[known][row], source[known][2 * row + 1]
            if not (first.sum() and seen.sum() and other.sum()):
                continue
            seen, other = of_target(2 * row, seen), of_target(2 * row, other)
            if seen.sum() and other.sum():
                gaps.append(float(jensen_shannon(first, seen)))
                floors.append(float(jensen_shannon(first, other)))
        return Measure(what, place, gaps, floors) if gaps else None

    def _class(self, class_id: int, name: str) -> ClassGap:
        features, clusters, pixels = [], [], []
        for sample, offset in ((self.source, 0), (self.target, len(self.source.names))):
            chosen = sample.class_pixels.labels == class_id
            pixels.append(int(chosen.sum()))
            features.append(sample.class_pixels["features"][chosen])
            clusters.append(sample.class_pixels["image"][chosen] + offset)
        images = [len(set(one.tolist())) for one in clusters]
        both = (pixels[0], pixels[1])
        if min(pixels) < LEAST_PIXELS or min(images) < LEAST_IMAGES:
            return ClassGap(name, both, None)
        joined, of_image = torch.cat(features), torch.cat(clusters)
        joined = joined - joined.mean(dim=0)
        kernel = Kernel(gaussian(joined, joined, bandwidth(joined)), of_image)
        found = list(self._class_distances(kernel, of_image))
        if not found:
            return ClassGap(name, both, None)
        gaps, floors = zip(*found, strict=True)
        return ClassGap(name, both, Measure("MMD²", name, gaps, floors))

    def _class_distances(self, kernel: Kernel, of_image: Tensor) -> Iterator[tuple[float, float]]:
        images = len(self.source.names)
        total = images + len(self.target.names)
        for comparison in self._label_comparisons:
            # The estimate is unbiased: as many images need not hold as many pixels.
            halves = (comparison.first, comparison.second, images + comparison.target)
            first, second, target = (_indicator(half, total)[of_image] for half in halves)
            gap, floor = float(kernel.mmd(first, target)), float(kernel.mmd(first, second))
            if np.isfinite([gap, floor]).all():
                yield gap, floor


def _flat(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    return first.flatten(0, 1), second.flatten(0, 1)


def _sliced(first: Tensor, second: Tensor, axes: Tensor) -> float:
    return float(wasserstein(first @ axes, second @ axes).mean())


def _spectrum_distance(first: Tensor, second: Tensor) -> float:
    """Returns the root mean square, over channels and frequencies, of how far the mean log amplitudes are apart."""
    return float((first.mean(dim=0) - second.mean(dim=0)).square().mean().sqrt())


def _indicator(positions: Positions, total: int) -> Tensor:
    chosen = torch.zeros(total, dtype=torch.float64)
    chosen[torch.from_numpy(positions)] = 1
    return chosen

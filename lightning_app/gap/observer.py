"""Looks at the images of a domain through a network, one by one, and keeps a bounded sample."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from datamodules.batch import IGNORE, DomainBatch
from datamodules.dataset import to_values
from lightning_app.gap.distances import directions
from lightning_app.gap.domain_sample import DomainSample
from lightning_app.gap.image_looks import colours, low_spectrum
from lightning_app.gap.statistics_watch import StatisticsWatch
from lightning_app.inference import Windows, scaled, window_places
from lightning_app.network import SegmentationNetwork
from strategies.base import Stage
from strategies.components.pixel_sampling import labels_of_cells

COLOURS = 256
"""Pixels of an image whose colours are kept."""
MOST_CHANNELS = 512
"""Features of more channels become so many by a random projection, which keeps distances but for some per cent."""
_CLASS_STRIDE = 16
_MOST_SIZES = 64


class Observer:
    """Looks at images through a network.

    Of a large image for which the network has windows, one window that chance chooses stands for the image.

    Args:
        network: the network.
        pixels: the pixels of each stage's map that are kept of an image.
        windows: how the network cuts large images; None takes each whole.
        predicts: whether its predictions mean something.
        seed: of the pixels that are kept.
        device: where it looks.

    Attributes:
        stages: the stages whose maps are looked at.
        strides: of each, how many pixels of the image a cell is wide; known once an image was seen.
        watch: what the encoder's BatchNorm layers are given.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        pixels: int,
        windows: Windows | None,
        predicts: bool,
        seed: int,
        device: torch.device,
    ) -> None:
        # In this layout convolutions are the fastest.
        self.network = network.to(device).to(memory_format=torch.channels_last).eval()
        self.stages: list[Stage] = network.stages()
        self.strides: list[int] = []
        self.watch = StatisticsWatch(network.encoder)
        self._pixels = pixels
        self._windows = windows
        self._predicts = predicts
        self._seed = seed
        self._device = device
        self._classes = len(network.spec.classes)
        self._projections = [_projection(stage.channels, seed, device) for stage in self.stages]
        self._cells: dict[tuple[int, ...], Tensor] = {}

    @property
    def class_stage(self) -> int:
        """Position in ``stages`` of the map whose pixels are kept by class.

        The deepest of stride 16 or less: at stride 32 a thin class wins no cell.
        """
        fine = [index for index, stride in enumerate(self.strides) if stride <= _CLASS_STRIDE]
        return max(fine, default=0)

    @torch.no_grad()
    def look(self, sample: DomainSample, index: int, batch: DomainBatch) -> None:
        """Looks at one image.

        Args:
            sample: what is kept of its domain.
            index: its position there.
            batch: the image, and its mask if that may be read.
        """
        # By position and not by name: two equal domains are to give equal samples.
        generator = np.random.default_rng([self._seed, index])
        # The whole stays as it was read, on the CPU: as floats it would be four times as large.
        whole, whole_mask = batch["image"], batch.get("mask")
        sample.keep("colours", index, colours(_some_pixels(whole, generator)))
        sample.keep("spectra", index, low_spectrum(whole))
        if whole_mask is not None:
            sample.labels.add("mask", index, _counted(whole_mask, self._classes))
        places = list(window_places(whole.shape[-2], whole.shape[-1], self._windows))
        rows, columns = places[generator.integers(len(places))]
        image = scaled(to_values(whole[..., rows, columns].to(self._device)), self._windows)
        mask = None
        if whole_mask is not None:
            mask = _resized(whole_mask[..., rows, columns].to(self._device).long(), image)
        maps, prediction = self._pass(image, self._predicts and sample.predicted[index])
        moments = self.watch.take()
        if moments is not None:
            sample.statistics.add("moments", index, moments)
        for number, one in enumerate(maps):
            cells = self._some_cells(image, one, generator)
            sample.keep(f"stage {number}", index, self._features(number, one, cells))
        if prediction is not None:
            sample.labels.add("prediction", index, _counted(prediction, self._classes))
            if mask is not None:
                sample.labels.add("confusion", index, self._confusion(prediction, mask))
        labels = mask if any(sample.labelled) else prediction
        if labels is not None and sample.by_labels[index]:
            self._keep_class_pixels(sample, index, labels, maps[self.class_stage])

    def _pass(self, image: Tensor, predicts: bool) -> tuple[Sequence[Tensor], Tensor | None]:
        """Returns the maps of the stages and, if asked for, the prediction (1, H, W)."""
        prediction = None
        with self.watch.watching():
            features = self.network.features(image.contiguous(memory_format=torch.channels_last))
        if predicts:
            prediction = self.network.decode(features, (image.shape[-2], image.shape[-1])).argmax(dim=1)
        maps = [features[stage.map] for stage in self.stages]
        if not self.strides:
            self.strides = [2 ** round(np.log2(image.shape[-1] / one.shape[-1])) for one in maps]
        return maps, prediction

    def _features(self, number: int, one: Tensor, cells: Tensor) -> Tensor:
        found = one[0].flatten(1)[:, cells.to(one.device)].T.float()
        projection = self._projections[number]
        return (found if projection is None else found @ projection).cpu()

    def _confusion(self, prediction: Tensor, mask: Tensor) -> Tensor:
        known = mask != IGNORE
        pairs = prediction[known] * self._classes + mask[known]
        return torch.bincount(pairs, minlength=self._classes**2).view(self._classes, self._classes)

    def _keep_class_pixels(self, sample: DomainSample, index: int, labels: Tensor, one: Tensor) -> None:
        cells = labels_of_cells(self.network, labels, (one.shape[-2], one.shape[-1]), self._classes).flatten()

        def values(places: Tensor) -> dict[str, Tensor]:
            features = self._features(self.class_stage, one, places)
            return {"features": features, "image": torch.full((len(places),), index)}

        chance = torch.Generator().manual_seed(self._seed * 1_000_003 + index)
        sample.class_pixels.offer(cells, values, chance)

    def _some_cells(self, image: Tensor, one: Tensor, generator: np.random.Generator) -> Tensor:
        """Chooses cells that lie on the image and not on its padding, each once if there are enough."""
        size, shape = (image.shape[-2], image.shape[-1]), (one.shape[-2], one.shape[-1])
        if (*size, *shape) not in self._cells:
            if len(self._cells) >= _MOST_SIZES:
                self._cells.clear()
            blank = torch.zeros(1, *size, dtype=torch.int64, device=image.device)
            labels = labels_of_cells(self.network, blank, shape, self._classes).flatten()
            self._cells[(*size, *shape)] = (labels != IGNORE).nonzero().flatten().cpu()
        cells = self._cells[(*size, *shape)]
        chosen = generator.choice(len(cells), self._pixels, replace=len(cells) < self._pixels)
        return cells[torch.from_numpy(chosen)]


def _projection(channels: int, seed: int, device: torch.device) -> Tensor | None:
    if channels <= MOST_CHANNELS:
        return None
    basis = torch.linalg.qr(directions(channels, MOST_CHANNELS, seed)).Q
    projection: Tensor = (basis * (channels / MOST_CHANNELS) ** 0.5).to(device)
    return projection


def _some_pixels(image: Tensor, generator: np.random.Generator) -> Tensor:
    pixels = image[0].flatten(1)
    places = torch.from_numpy(generator.integers(pixels.shape[1], size=COLOURS))
    return to_values(pixels[:, places].T)


def _resized(mask: Tensor, image: Tensor) -> Tensor:
    """Brings a mask to the size of an image that the network takes smaller."""
    if mask.shape[-2:] == image.shape[-2:]:
        return mask
    return functional.interpolate(mask[:, None].float(), image.shape[-2:], mode="nearest")[:, 0].long()


def _counted(labels: Tensor, classes: int) -> Tensor:
    # The last bin is of what is ignored: to leave it out beforehand would copy a mask that may be large.
    return torch.bincount(labels.flatten(), minlength=IGNORE + 1)[:classes]

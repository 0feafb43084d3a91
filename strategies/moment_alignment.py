"""Training on the source while the distribution of the target's features is drawn to that of the source's."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from datamodules.batch import Batch
from strategies.base import Losses, Network, Step, Strategy
from strategies.components.criteria import Criterion, CrossEntropy
from strategies.components.freezing import pick_stage
from strategies.components.moments import coral, mmd
from strategies.components.pixel_sampling import Pixels, labels_of_cells, sample_pixels
from strategies.components.supervision import labelled_target_terms

Distance = Literal["coral", "mmd"]


class MomentAlignment(Strategy):
    """Draws the features of source and target together: their covariances (CORAL) or kernel means (MMD).

    Loss: CE(source) + weight · Σ over stages of d(source pixels, target pixels) of the encoder's maps, where d is
    ‖C_s − C_t‖²_F / (4 D²) of the unbiased covariances for ``coral``, and for ``mmd`` the unbiased
    mean k(s, s') + mean k(t, t') − 2 mean k(s, t) with k(a, b) = Σ_α exp(−‖a − b‖² / (2 α m)), m the mean squared
    distance of all pairs. The gradient goes through both domains.

    Source and target pass through the encoder one after the other: each is normalised by its own batch, and the
    running statistics of the encoder's BatchNorm, which evaluation uses, become a mix of both. Each rank compares its
    own pixels.

    Reference: Sun and Saenko, Deep CORAL, ECCV Workshops 2016, https://arxiv.org/abs/1607.01719; Long et al., DAN,
    ICML 2015, https://arxiv.org/abs/1502.02791
    Costs: one more forward and backward of the encoder, on the target images; with class_balanced the
    decoder's forward too
    Differs from the papers: they compare one vector an image behind fully connected layers, this pixels of feature
    maps; DAN learns the weights of its kernels and estimates MMD in linear time, this adds up kernels of fixed weights
    over all pairs. Target labels are learned from where they were given.

    Args:
        distance: ``coral`` or ``mmd``.
        weight: factor of the distance, ≥ 0. 1 by default, as usual for DAN. Deep CORAL chooses it so that both losses
            end about equal: as the covariance's entries are averaged over D², that may take 10 or more.
        stages: the encoder's stages whose features are compared; negative numbers count from the deepest.
        pixels: how many pixels of each domain are drawn for a stage in a step, ≥ 2; all of them where there are fewer.
            MMD takes 4 · pixels² · 4 bytes a few times over.
        class_balanced: whether every class counts the same in each domain: by the masks in the source, where ignored
            pixels then do not count, by the network's own predictions in the target. The decoder's BatchNorm then sees
            the target too.
        bandwidths: for ``mmd``, the factors α of the kernels, each > 0.
        criterion: loss on the masks; cross-entropy if None.

    Raises:
        ValueError: if a number is out of range.
    """

    required_streams = ("source", "target")
    optional_streams = ("labelled_target",)

    def __init__(
        self,
        distance: Distance = "coral",
        weight: float = 1.0,
        stages: Sequence[int] = (-1,),
        pixels: int = 1024,
        class_balanced: bool = False,
        bandwidths: Sequence[float] = (0.5, 1.0, 2.0),
        criterion: Criterion | None = None,
    ) -> None:
        super().__init__()
        if distance not in get_args(Distance):
            raise ValueError(f"MomentAlignment.distance is {distance!r}; it is {' or '.join(get_args(Distance))}.")
        if weight < 0:
            raise ValueError(f"MomentAlignment.weight is {weight}; give 0 or a positive number.")
        if not stages:
            raise ValueError("MomentAlignment.stages is empty; name at least one, such as −1 for the deepest.")
        if pixels < 2:
            raise ValueError(f"MomentAlignment.pixels is {pixels}; one pixel has no distribution: give 2 or more.")
        if not bandwidths or min(bandwidths) <= 0:
            raise ValueError(f"MomentAlignment.bandwidths is {list(bandwidths)}; give numbers > 0, at least one.")
        self.distance: Distance = distance
        self.weight = weight
        self.stages = list(stages)
        self.pixels = pixels
        self.class_balanced = class_balanced
        self.bandwidths = list(bandwidths)
        self.criterion = criterion or CrossEntropy()
        self._maps: dict[str, int] = {}

    def build(self, network: Network, classes: Sequence[str]) -> None:
        """Finds the maps to be compared."""
        self.classes = len(classes)
        stages = network.stages()
        for number in self.stages:
            stage = pick_stage(stages, number, "MomentAlignment.stages")
            self._maps[f"encoder.{number % len(stages)}"] = stage.map

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the loss on target labels where there are any, the distance, and the loss on the source."""
        yield from labelled_target_terms(self.criterion, network, batch)
        source = batch["source"]
        features = network.features(source["image"])
        of_source = self._sample(network, features, source["mask"] if self.class_balanced else None)
        of_target = self._target_pixels(network, batch["target"]["image"])
        # The gradients of the two sides are taken apart, so that the target's graph is gone before the source's is
        # decoded.
        distances = self._distances([_detached(one) for one in of_source], of_target)
        if step.index == 0 and not distances.requires_grad:
            rank_zero_warn(
                "MomentAlignment aligns nothing in this step: what its maps depend on is frozen, or held back until a "
                "later step."
            )
        for name, distance in zip(self._maps, distances, strict=True):
            step.log(f"distance/{name}", distance)
        yield {"alignment": self.weight * distances.sum()}
        del distances
        distance = self._distances(of_source, [_detached(one) for one in of_target]).sum()
        del of_source, of_target
        logits = network.decode(features, (source["image"].shape[-2], source["image"].shape[-1]))
        # The distance itself was counted above: this is its gradient on the source alone.
        yield {"segmentation": self.criterion(logits, source["mask"]) + self.weight * (distance - distance.detach())}

    def _target_pixels(self, network: Network, image: Tensor) -> list[Pixels]:
        features = network.features(image)
        if not self.class_balanced:
            return self._sample(network, features, None)
        with torch.no_grad():
            predicted = network.decode(features, (image.shape[-2], image.shape[-1])).argmax(dim=1)
        return self._sample(network, features, predicted)

    def _sample(self, network: Network, features: Sequence[Tensor], mask: Tensor | None) -> list[Pixels]:
        """Draws pixels of each stage, where there is a mask so that its classes count the same."""
        found = []
        for name, index in self._maps.items():
            maps = features[index]
            size = (maps.shape[-2], maps.shape[-1])
            if len(maps) * size[0] * size[1] < 2:
                raise ValueError(
                    f"MomentAlignment: the map of {name} has one pixel, which has no distribution. Align an earlier "
                    "stage, or set data.crop or data.batch_size higher."
                )
            labels = None if mask is None else labels_of_cells(network, mask, size, self.classes)
            found.append(sample_pixels(maps, self.pixels, labels))
        return found

    def _distances(self, source: Sequence[Pixels], target: Sequence[Pixels]) -> Tensor:
        """Returns the distance at each stage."""
        found = []
        for ours, theirs in zip(source, target, strict=True):
            if self.distance == "coral":
                found.append(coral(ours.features, theirs.features, ours.weights, theirs.weights))
            else:
                found.append(mmd(ours.features, theirs.features, self.bandwidths, ours.weights, theirs.weights))
        return torch.stack(found)


def _detached(pixels: Pixels) -> Pixels:
    return Pixels(pixels.features.detach(), pixels.weights)

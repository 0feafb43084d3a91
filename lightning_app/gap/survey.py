"""One network's look at both domains, from images to numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from rich.console import Console
from torch import Tensor

from datamodules import CrossDomainDataModule
from datamodules.batch import DomainName
from lightning_app.gap.domain_sample import DomainSample
from lightning_app.gap.measurement import LEAST_IMAGES, LEAST_PIXELS, Measurement
from lightning_app.gap.nearest import RankedImage, nearest_and_farthest
from lightning_app.gap.observer import Observer
from lightning_app.gap.options import GapOptions
from lightning_app.gap.result import GapResult
from lightning_app.gap.sampling import Sampling
from lightning_app.inference import Windows
from lightning_app.network import SegmentationNetwork

_GUESSING = 1.5


@dataclass
class Survey:
    """Looks at both domains through networks and measures how far apart they are.

    Args:
        data: the domains.
        options: what is measured.
        windows: how networks cut large images.
        device: where they look.
        console: where the progress is shown.

    Raises:
        ValueError: if a domain is missing, or has too few images.
    """

    data: CrossDomainDataModule
    options: GapOptions
    windows: Windows | None
    device: torch.device
    console: Console

    def __post_init__(self) -> None:
        """Chooses the images."""
        self.sampling = Sampling(self.data, self.options)

    def look(
        self, network: SegmentationNetwork, name: str, is_trained: bool
    ) -> tuple[GapResult, Mapping[str, list[RankedImage]]]:
        """Looks through one network.

        Args:
            network: the network.
            name: what it is called.
            is_trained: whether its head was trained, so that its predictions mean something.

        Returns:
            The distances, and the nearest and farthest images by the deepest stage's features.
        """
        observer = Observer(network, self.options.pixels, self.windows, is_trained, self.data.seed, self.device)
        samples = self.sampling.look(observer, self.console, f"looking through {name}")
        source, target = samples["source"], samples["target"]
        measurement = Measurement(
            source, target, self.sampling.comparisons, self.sampling.label_comparisons, self.data.seed
        )
        result = GapResult(
            name,
            (len(source.names), len(target.names)),
            len(self.sampling.comparisons[0].first),
            measurement.image_space(),
        )
        with self.console.status("measuring"):
            places = [f"stage {index + 1} of {len(observer.stages)}" for index in range(len(observer.stages))]
            for index, place in enumerate(places):
                result.measures += measurement.stage(index, place)
            self._add_batch_norm(result, measurement, observer)
            self._add_labels(result, measurement, samples, is_trained)
            if not result.find("proxy A-distance"):
                result.missing.append(
                    "Proxy A-distance and MMD² are left out: each side of a comparison has a single image, and both "
                    "need two. Enough are two target images, and four of the source that its groups let fall in halves."
                )
            distance = result.find("MMD²")
            if distance is not None and distance.p_value is None:
                result.missing.append(
                    "p is left out: so few images, or groups of them, can be dealt to the domains in too few ways for "
                    "chance to be unlikely."
                )
            if result.find("labels") and "mask" in source.labels:
                result.classes = measurement.classes(self.data.classes)
                whose = "masks" if any(target.labelled) else "the network's predictions"
                stage = observer.class_stage
                result.class_place = (
                    f"{places[stage]}, cells of {observer.strides[stage]} pixels; target pixels by {whose}"
                )
            likeness = measurement.likeness(f"stage {len(places) - 1}")
        return result, nearest_and_farthest(self.data, samples, _by_role(*likeness))

    def _add_batch_norm(self, result: GapResult, measurement: Measurement, observer: Observer) -> None:
        found = measurement.batch_norm(observer.watch.layers)
        if found is None:
            result.missing.append("BatchNorm statistics are left out: the encoder has no layer that keeps such.")
            return
        measure, layers = found
        result.measures.append(measure)
        result.layers = layers

    def _add_labels(
        self,
        result: GapResult,
        measurement: Measurement,
        samples: Mapping[DomainName, DomainSample],
        is_trained: bool,
    ) -> None:
        source, target = samples["source"].labels, samples["target"].labels
        split = self.options.split
        if "mask" not in source:
            result.missing.append(f"Labels are not compared: source/{split} has no masks.")
            return
        result.histograms = {"source": _shares(source["mask"][-1])}
        if "mask" in target:
            result.histograms = {**result.histograms, "target": _shares(target["mask"][-1])}
        elif not is_trained:
            given = "data.labels gives no mask of target/train" if split == "train" else f"target/{split} has no masks"
            result.missing.append(
                f"Labels and classes are not compared: {given}, and the head of the network is not trained, so that "
                "there are no predictions to go by. Give a trained network by --model.init_from or --ckpt_path."
            )
            return
        else:
            recall = _mean_recall(source["confusion"][-1])
            if recall < _GUESSING / len(self.data.classes):
                result.missing.append(
                    f"Labels and classes are not compared: the network finds {100 * recall:.0f} % of a source class on "
                    "average, hardly more than by guessing. Its head is not trained, or an adaptation has cost it the "
                    "source; --model.init_from or --ckpt_path give another."
                )
                return
            result.histograms = {**result.histograms, "target, predicted": _shares(target["prediction"][-1])}
        measures = measurement.labels()
        result.measures += measures
        if not measures:
            result.missing.append(
                "Labels and classes are not compared: in no comparison both halves of the source and the target have "
                "labelled pixels."
            )


def class_note() -> str:
    """Says which classes have no number."""
    return f"– : fewer than {LEAST_PIXELS} pixels or {LEAST_IMAGES} images of the class in one of the domains"


def _by_role(source: Tensor, target: Tensor) -> dict[DomainName, Tensor]:
    return {"target": target, "source": source}


def _shares(pixels: Tensor) -> list[float]:
    shares: list[float] = (pixels / pixels.sum().clamp_min(1)).tolist()
    return shares


def _mean_recall(confusion: Tensor) -> float:
    true = confusion.sum(dim=0)
    return float((confusion.diagonal()[true > 0] / true[true > 0]).mean())

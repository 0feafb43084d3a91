"""The half of the LightningModule that validates, tests and predicts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from numpy.typing import NDArray
from torch import Tensor, nn

from datamodules.batch import IGNORE, DomainBatch, DomainName
from datamodules.reading import convert_channels, read_image
from lightning_app.averaging import AveragedNetwork, load_others
from lightning_app.image_scores import ImageScore
from lightning_app.inference import PredictBatch, Prediction, Windows, predict_mask
from lightning_app.metrics import Scores
from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec
from lightning_app.probability_sums import ProbabilitySums
from lightning_app.pseudo_label_scores import PseudoLabelScores, Watch
from lightning_app.scoring import Scoring
from lightning_app.unsupervised_scores import UnsupervisedScores
from strategies.base import Strategy


class InferenceModule(LightningModule):
    """A network that is validated, tested and predicted with.

    Args:
        spec: what the network is built from; its weights are random.
        windows: how large images are cut; None takes each whole.
        averaged_with: checkpoints whose probabilities are averaged with the network's own.
        augmentation_consistency: whether target images are predicted flipped, too.

    Attributes:
        network: the network that trains, or that was loaded.
        strategy: how it learned, which may choose another network to infer with; None takes the network.
        network_infers: whether the network is the one that the strategy infers with: so a checkpoint is loaded.
        others: the networks that it is averaged with.
        scores: the scores of the last validation or test, by domain and, where several are joined, by part of it.
        image_scores: the images of the last validation or test, on rank 0.
        unsupervised: the target's scores without labels, by name, in the last validation or test.
    """

    strategy: Strategy | None

    def __init__(
        self,
        spec: NetworkSpec,
        windows: Windows | None,
        averaged_with: Sequence[str] | None,
        augmentation_consistency: bool,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.network = SegmentationNetwork(spec)
        self.strategy = None
        self.network_infers = False
        self.windows = windows
        self.others = nn.ModuleList(load_others(averaged_with or [], spec))
        self.scoring = Scoring(spec.classes)
        self.pseudo_label_scores = PseudoLabelScores(spec.classes)
        self.unsupervised_scores = UnsupervisedScores(len(spec.classes))
        self.augmentation_consistency = augmentation_consistency
        self.scores: dict[str, Scores] = {}
        self.image_scores: list[ImageScore] = []
        self.unsupervised: dict[str, float] = {}

    @property
    def classes(self) -> list[str]:
        """The class names, in the order of the ids."""
        return self.spec.classes

    def inference_network(self, domain: DomainName) -> nn.Module:
        """Returns the network that is validated, tested and predicted with for a domain."""
        network: nn.Module = self.network
        if self.strategy is not None and not self.network_infers:
            network = self.strategy.inference_network(network, domain)
        return AveragedNetwork([network, *self.others]) if self.others else network

    def validation_step(self, batch: DomainBatch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Counts the pixels of a batch; of a target's without masks for the scores alone that need none.

        Returns:
            ``prediction``, (B, H, W) uint8 class ids, and ``confidence``, (B, H, W) float32, the largest probability
            of each pixel.
        """
        return self._score(batch)

    def test_step(self, batch: DomainBatch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Counts the pixels of a batch, and returns what ``validation_step`` does."""
        return self._score(batch)

    def _score(self, batch: DomainBatch) -> dict[str, Tensor]:
        confidences: list[Tensor] = []
        domain, images, mask = batch["domain"], batch["image"], batch.get("mask")
        sums = ProbabilitySums(*images.shape[2:]) if domain == "target" else None

        def note(probabilities: Tensor) -> None:
            confidences.append(probabilities.amax(dim=1))
            if sums is not None:
                sums(probabilities)

        def predict(network: nn.Module, watch: Watch | None, images: Tensor = images) -> Tensor:
            masks = [predict_mask(network, image, self.windows, self.device, watch=watch) for image in images]
            return torch.from_numpy(np.stack(masks)).to(self.device)

        network = self.inference_network(domain)
        fitting = self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking
        if domain == "target" and fitting and self.strategy is not None:
            labels = torch.full_like(images[:, 0], IGNORE, dtype=torch.int64) if mask is None else mask
            prediction = self.pseudo_label_scores.add(self.strategy, network, self.network, labels, predict, note)
        else:
            prediction = predict(network, note)
        confidence = torch.cat(confidences, dim=1).view_as(prediction)
        if mask is not None:
            self.scoring.add(prediction, confidence, batch)
        if sums is not None:
            flipped = predict(network, None, images.flip(3)).flip(2) if self.augmentation_consistency else None
            self.unsupervised_scores.update(sums, prediction, flipped)
        return {"prediction": prediction, "confidence": confidence}

    def on_validation_epoch_end(self) -> None:
        """Logs the scores of every domain that was validated."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Logs the scores of every domain that was tested."""
        self._log_scores("test")

    def _log_scores(self, stage: str) -> None:
        self.scores, self.image_scores, self.unsupervised = {}, [], {}
        if self.trainer.sanity_checking:
            self.scoring.reset()
            self.unsupervised_scores.reset()
            return
        data = getattr(self.trainer, "datamodule", None)
        self.scores, self.image_scores = self.scoring.scores(getattr(data, "shared_classes", None))
        for place, scores in self.scores.items():
            self.log_dict(scores.named(f"{stage}/{place}"), sync_dist=True)
        if self.unsupervised_scores.update_called:
            source = self.scores.get("source")
            source_pixels = None if source is None else [sum(row) for row in source.confusion]
            self.unsupervised = self.unsupervised_scores.compute(source_pixels)
            self.unsupervised_scores.reset()
        if self.pseudo_label_scores.update_called:
            told = self.pseudo_label_scores.compute()
            agreement = told.pop("agreement", None)
            if agreement is not None:
                self.unsupervised["teacher_agreement"] = agreement
            self.log_dict({f"{stage}/target/{name}": value for name, value in told.items()}, sync_dist=True)
            self.pseudo_label_scores.reset()
        self.log_dict(
            {f"{stage}/target/unsupervised/{name}": value for name, value in self.unsupervised.items()}, sync_dist=True
        )

    def predict_step(self, batch: PredictBatch, batch_idx: int, dataloader_idx: int = 0) -> Prediction:
        """Predicts the class ids of each image, and fills ``probabilities`` where a callback asked for them."""
        network = self.inference_network(batch.get("domain", "target"))
        wanted = batch.get("probabilities", [None] * len(batch["image"]))
        masks = [
            predict_mask(network, image, self.windows, self.device, probabilities=array)
            for image, array in zip(batch["image"], wanted, strict=True)
        ]
        images = [image.movedim(0, -1).cpu().numpy() for image in batch["image"]]
        return Prediction(batch["name"], masks, images)

    def predict(self, image: NDArray[Any] | str | Path) -> NDArray[np.uint8]:
        """Predicts one image, by windows if the segmenter has them.

        Args:
            image: (H, W, C) uint8, or float in [0, 1], in RGB order; or the path of an image file.

        Returns:
            (H, W) class ids, uint8.

        Raises:
            ValueError: if the image cannot be read or has another number of channels than the network.
        """
        if isinstance(image, str | Path):
            image = convert_channels(read_image(Path(image)), self.spec.in_channels, str(image))
        if image.ndim != 3 or image.shape[2] != self.spec.in_channels:
            raise ValueError(
                f"The image has shape {image.shape}; this network takes (H, W, {self.spec.in_channels}) arrays."
            )
        mode = self.training
        self.eval()
        try:
            return predict_mask(self.inference_network("target"), image, self.windows, self.device)
        finally:
            self.train(mode)

    def inference_prefix(self) -> str:
        """Returns by what the names of the target's network begin in the state, for a checkpoint.

        Raises:
            ValueError: if several networks are averaged.
        """
        if self.others:
            raise ValueError("A checkpoint holds one network: it cannot be saved under model.averaged_with.")
        wanted = self.inference_network("target")
        names: dict[int, str] = {id(module): name for name, module in self.named_modules()}
        return names[id(wanted)]

"""A segmentation network of torchvision as a candidate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights
from torchvision.transforms.functional import normalize

from lightning_app.network import SegmentationNetwork
from lightning_app.pretrained import IMAGENET_MEAN, IMAGENET_STD, brief, torch_cache
from lightning_app.rank.candidate import Candidate, OpenedCandidate
from lightning_app.weight_files import as_tensors, read_file
from lightning_app.weights import load_encoder_weights

MODELS = {f"{head}_{encoder}": encoder for head in ("deeplabv3", "fcn") for encoder in ("resnet50", "resnet101")}
"""The models whose encoder a network of Segue can start from, and that encoder."""


@dataclass(frozen=True)
class TorchvisionCandidate(Candidate):
    """A model of torchvision from a local file: its head for the scores of classes, its encoder to start from.

    Attributes:
        model: one of ``MODELS``.
        path: the file of its weights.
        drops_init_from: whether the config's ``model.init_from`` would have to go.
    """

    model: str
    path: Path
    drops_init_from: bool

    def open(self, device: torch.device) -> OpenedCandidate:
        """Builds torchvision's model, and the encoder that training would start with."""
        tensors = as_tensors(read_file(self.path), self.path)
        network = SegmentationNetwork(self.spec)
        load_encoder_weights(network, f"{self.path}")
        network = network.eval().to(device)
        if self.spec.in_channels != 3:
            return OpenedCandidate(network, None, f"its head takes RGB images, not {self.spec.in_channels} channels")
        model = self._build(tensors).eval().to(device)

        def head(image: Tensor, maps: Sequence[Tensor]) -> Tensor:
            logits: Tensor = model(normalize(image, list(IMAGENET_MEAN), list(IMAGENET_STD)))["out"]
            return logits

        return OpenedCandidate(network, head, None)

    @property
    def options(self) -> list[str]:
        """``--model.encoder`` and ``--model.encoder_weights``."""
        words = ["--model.encoder", self.spec.encoder, "--model.encoder_weights", f"{self.path}"]
        return [*words, *(["--model.init_from", "null"] if self.drops_init_from else [])]

    def _build(self, tensors: dict[str, Tensor]) -> nn.Module:
        last = [tensor for name, tensor in tensors.items() if name.startswith("classifier.") and name.endswith("bias")]
        try:
            model: nn.Module = get_model(
                self.model,
                weights=None,
                weights_backbone=None,
                num_classes=len(last[-1]),
                aux_loss=any(name.startswith("aux_classifier.") for name in tensors),
            )
            model.load_state_dict(tensors)
        except (IndexError, RuntimeError) as error:
            raise ValueError(
                f"{self.path} does not hold torchvision's {self.model}: {brief(error)}. Name the model that the file "
                "was made for, or take it as encoder weights: encoder:<name>=<file>."
            ) from error
        return model


def downloaded(model: str) -> Path:
    """Returns where torchvision keeps the default weights of a model once it has downloaded them."""
    return torch_cache(next(iter(get_model_weights(model))).url)

"""A bare encoder as a candidate."""

from dataclasses import dataclass

import torch

from lightning_app.network import SegmentationNetwork
from lightning_app.rank.candidate import Candidate, OpenedCandidate
from lightning_app.weights import load_encoder_weights


@dataclass(frozen=True)
class EncoderCandidate(Candidate):
    """An encoder with the weights that ``model.encoder_weights`` spells; its decoder would start from chance.

    Attributes:
        weights: as in ``model.encoder_weights``; None for those of chance.
        drops_init_from: whether the config's ``model.init_from`` would have to go.
        seed: decides the weights of chance.
    """

    weights: str | None
    drops_init_from: bool
    seed: int

    def open(self, device: torch.device) -> OpenedCandidate:
        """Builds the network of the config with this encoder."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = SegmentationNetwork(self.spec)
        if self.weights is not None:
            load_encoder_weights(network, self.weights)
        return OpenedCandidate(network.eval().to(device), None, "a bare encoder knows no classes")

    @property
    def options(self) -> list[str]:
        """``--model.encoder`` and ``--model.encoder_weights``."""
        words = ["--model.encoder", self.spec.encoder, "--model.encoder_weights", self.weights or "null"]
        return [*words, *(["--model.init_from", "null"] if self.drops_init_from else [])]

"""A checkpoint of Segue as a candidate."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from lightning_app.network import SegmentationNetwork
from lightning_app.rank.candidate import Candidate, OpenedCandidate
from lightning_app.weight_files import NetworkCheckpoint, read_checkpoint
from lightning_app.weights import init_from


@dataclass(frozen=True)
class CheckpointCandidate(Candidate):
    """The network of a checkpoint, whatever classes it knows.

    Attributes:
        path: the checkpoint.
        settles_weights: whether the config names encoder weights, which would be loaded in vain or would not fit.
    """

    path: Path
    settles_weights: bool

    def open(self, device: torch.device) -> OpenedCandidate:
        """Builds the checkpoint's own network, for images of the target's channels."""
        held = self._held
        network = SegmentationNetwork(replace(held.spec, in_channels=self.spec.in_channels))
        init_from(network, self.path)

        def head(image: Tensor, maps: Sequence[Tensor]) -> Tensor:
            return network.decode(maps, (image.shape[-2], image.shape[-1]))

        return OpenedCandidate(network.eval().to(device), head, None, int(held.meta.get("labels_used", 0)))

    @property
    def options(self) -> list[str]:
        """``--model.init_from``, and what the config says otherwise of the network."""
        held, spec = self._held.spec, self.spec
        words = ["--model.init_from", f"{self.path}"]
        if held.architecture.lower() != spec.architecture.lower():
            words += ["--model.architecture", held.architecture]
        if held.encoder != spec.encoder:
            words += ["--model.encoder", held.encoder]
            if self.settles_weights:
                words += ["--model.encoder_weights", "null"]
        if held.options != spec.options:
            words += ["--model.options", json.dumps(held.options)]
        return words

    @property
    def checkpoint(self) -> Path:
        """The checkpoint."""
        return self.path

    @cached_property
    def _held(self) -> NetworkCheckpoint:
        held = read_checkpoint(self.path)
        return replace(held, state_dict={})  # the tensors of all candidates would stay in memory

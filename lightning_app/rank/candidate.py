"""A network that the target's training may start from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec

Head = Callable[[Tensor, Sequence[Tensor]], Tensor]
"""From images (B, C, H, W) in [0, 1] and the encoder's maps of them to logits (B, source classes, H, W)."""


@dataclass(frozen=True)
class OpenedCandidate:
    """A candidate with its weights.

    Attributes:
        network: the encoder that training would start with, in eval mode.
        head: gives the logits of the classes that the candidate knows already; None if it knows none.
        no_head: why there is no head; None if there is one.
        labels: how many target labels went into the weights, as far as the file tells.
    """

    network: SegmentationNetwork
    head: Head | None
    no_head: str | None
    labels: int = 0


@dataclass(frozen=True)
class Candidate(ABC):
    """A network that the target's training may start from.

    Attributes:
        name: the candidate as the user spelled it.
        spec: what training would build: architecture, encoder, the target's classes, channels.
    """

    name: str
    spec: NetworkSpec

    @abstractmethod
    def open(self, device: torch.device) -> OpenedCandidate:
        """Builds the network and loads the weights.

        Args:
            device: where the network shall be.

        Raises:
            FileNotFoundError: if a file does not exist.
            ValueError: if the weights cannot be read, reached, or do not fit.
        """

    @property
    @abstractmethod
    def options(self) -> list[str]:
        """What is added to ``lightning fit --config …`` to start from it, word by word."""

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint that it is, if it is one."""
        return None

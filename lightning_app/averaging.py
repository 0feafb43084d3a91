"""Several networks that answer as one: the mean of their probabilities."""

import math
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec
from lightning_app.weights import load_network


class AveragedNetwork(nn.Module):
    """Answers with the logarithm of the mean of several networks' probabilities.

    The softmax of such logits is that mean. FDA averages networks that were trained with several β in this way, its
    multi-band transfer: Yang and Soatto, FDA, CVPR 2020, https://arxiv.org/abs/2004.05498.

    Args:
        networks: one or more, each from (B, C, H, W) images to (B, classes, H, W) logits of the same classes.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, image: Tensor) -> Tensor:
        """Computes the averaged logits, one network after another.

        Args:
            image: (B, C, H, W) float in [0, 1].

        Returns:
            (B, classes, H, W) float32.
        """
        answers = (network(image).float().log_softmax(dim=1) for network in self.networks)
        # Never out of logarithms: that of a probability too small for float32 would be infinite.
        summed: Tensor = reduce(torch.logaddexp, answers)
        return summed - math.log(len(self.networks))


def load_others(paths: Sequence[str | Path], spec: NetworkSpec) -> list[SegmentationNetwork]:
    """Loads the inference networks of checkpoints that shall be averaged with a network.

    Args:
        paths: checkpoints of Segue. Their architectures and encoders may be any.
        spec: of the network.

    Returns:
        One network a path, on the CPU and in eval mode.

    Raises:
        FileNotFoundError: if a file does not exist.
        ValueError: if a file is no checkpoint of Segue, or its network has other classes or channels.
    """
    networks = []
    for path in paths:
        try:
            network = load_network(path)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"model.averaged_with: {error}") from error
        _check_alike(path, network.spec, spec)
        networks.append(network)
    return networks


def _check_alike(path: str | Path, theirs: NetworkSpec, ours: NetworkSpec) -> None:
    differences = []
    if theirs.in_channels != ours.in_channels:
        differences.append(f"it takes {theirs.in_channels} channels, not {ours.in_channels}")
    only_theirs = [name for name in theirs.classes if name not in ours.classes]
    only_ours = [name for name in ours.classes if name not in theirs.classes]
    if only_theirs:
        differences.append(f"it alone has the classes {', '.join(only_theirs)}")
    if only_ours:
        differences.append(f"it lacks the classes {', '.join(only_ours)}")
    if not (only_theirs or only_ours) and theirs.classes != ours.classes:
        differences.append(f"its classes stand in another order: {', '.join(theirs.classes)}")
    if differences:
        raise ValueError(
            f"model.averaged_with: {path} cannot be averaged with this network: {'; '.join(differences)}. Only "
            "networks of the same channels and classes answer alike."
        )

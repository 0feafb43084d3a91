import copy
from dataclasses import asdict
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor
from torch.nn import functional

from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec

CLASSES = ["road", "sky", "tree"]
SMALL_DPT = {"decoder_intermediate_channels": [8, 8, 8, 8], "decoder_fusion_channels": 8}
# Of the models that timm makes for one image size only.
TINY_VIT = {"embed_dim": 16, "num_heads": 1}
TINY_SWIN = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1]}
NETWORKS: list[tuple[str, str, dict[str, Any]]] = [
    ("Unet", "resnet18", {}),
    ("Unet", "mit_b0", {}),
    ("Unet", "tu-test_convnext", {}),
    ("UnetPlusPlus", "resnet18", {"decoder_channels": [16, 16, 16, 8, 8]}),
    ("MAnet", "resnet18", {}),
    ("Linknet", "resnet18", {}),
    ("FPN", "resnet18", {}),
    ("PSPNet", "resnet18", {}),
    ("PSPNet", "mit_b0", {}),
    ("PAN", "resnet18", {}),
    ("DeepLabV3", "resnet18", {}),
    ("DeepLabV3Plus", "resnet18", {}),
    ("UPerNet", "resnet18", {"decoder_channels": 32}),
    ("Segformer", "mit_b0", {}),
    ("DPT", "tu-test_vit", SMALL_DPT),
    ("DPT", "tu-vit_tiny_patch16_224", {**SMALL_DPT, **TINY_VIT}),
    ("Unet", "tu-swin_tiny_patch4_window7_224", TINY_SWIN),
    ("DPT", "tu-test_convnext", {**SMALL_DPT, "decoder_readout": "ignore"}),
]


def make(
    architecture: str = "Unet",
    encoder: str = "resnet18",
    options: dict[str, Any] | None = None,
    in_channels: int = 3,
) -> SegmentationNetwork:
    torch.manual_seed(0)
    return SegmentationNetwork(NetworkSpec(architecture, encoder, CLASSES, in_channels, options or {})).eval()


@pytest.mark.parametrize(("architecture", "encoder", "options"), NETWORKS)
def test_logits_have_the_size_of_any_image(architecture: str, encoder: str, options: dict[str, Any]) -> None:
    network = make(architecture, encoder, options)
    for size in [(37, 53), (5, 3), (64, 64)]:
        with torch.no_grad():
            logits = network(torch.rand(2, 3, *size))
        assert logits.shape == (2, 3, *size)
        assert logits.isfinite().all()


def test_logits_are_those_of_smp_on_the_normalised_and_padded_image() -> None:
    network = make("FPN")
    network.set_normalisation([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    reference = smp.FPN("resnet18", encoder_weights=None, classes=3).eval()
    state = network.state_dict()
    mean, std = state.pop("mean"), state.pop("std")
    reference.load_state_dict(state)
    image = torch.rand(1, 3, 40, 70)
    padded = functional.pad((image - mean) / std, (0, 26, 0, 24), mode="replicate")
    with torch.no_grad():
        assert torch.equal(network(image), reference(padded)[..., :40, :70])


def test_an_image_of_divisible_size_is_normalised_and_not_padded() -> None:
    network = make("DeepLabV3Plus")
    network.set_normalisation([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
    image = torch.rand(1, 3, 48, 80)
    expected = torch.stack([(image[:, c] - [0.1, 0.2, 0.3][c]) / [0.5, 0.6, 0.7][c] for c in range(3)], dim=1)
    torch.testing.assert_close(network.features(image)[0], expected)


def test_images_become_minus_one_to_one_unless_weights_say_otherwise() -> None:
    network = make()
    assert (network.features(torch.zeros(1, 3, 32, 32))[0] == -1).all()
    assert (network.features(torch.ones(1, 3, 32, 32))[0] == 1).all()


@pytest.mark.parametrize(("architecture", "encoder"), [("Unet", "resnet18"), ("DPT", "tu-test_vit")])
def test_features_and_decode_are_the_two_halves_of_forward(architecture: str, encoder: str) -> None:
    network = make(architecture, encoder, SMALL_DPT if architecture == "DPT" else {})
    image = torch.rand(2, 3, 37, 53)
    with torch.no_grad():
        features = network.features(image)
        assert torch.equal(network.decode([feature.clone() for feature in features], (37, 53)), network(image))
    assert all(isinstance(feature, Tensor) for feature in features)
    assert features[-1].ndim == 4, "the deepest map is the last"


def test_logits_of_another_stride_are_resized_to_the_image() -> None:
    network = make("FPN", options={"upsampling": 1})
    with torch.no_grad():
        assert network(torch.rand(1, 3, 37, 53)).shape == (1, 3, 37, 53)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("encoder", ["resnet18", "tu-test_convnext"])
def test_any_number_of_channels(encoder: str, channels: int) -> None:
    network = make(encoder=encoder, in_channels=channels)
    with torch.no_grad():
        assert network(torch.rand(1, channels, 32, 32)).shape == (1, 3, 32, 32)
    assert network.mean.shape == network.std.shape == (1, channels, 1, 1)


def test_normalisation_is_saved_and_copied() -> None:
    network = make()
    network.set_normalisation([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    other = make()
    other.load_state_dict(network.state_dict())
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(other(image), network(image))
        assert torch.equal(copy.deepcopy(network)(image), network(image))


def test_a_spec_survives_as_plain_values() -> None:
    spec = NetworkSpec("Unet", "resnet18", CLASSES, 1, {"encoder_depth": 3, "decoder_channels": [8, 8, 8]})
    assert NetworkSpec(**asdict(spec)) == spec


def test_architectures_ignore_case() -> None:
    assert set(make("deeplabv3PLUS").state_dict()) == set(make("DeepLabV3Plus").state_dict())


@pytest.mark.parametrize("architecture", ["DeepLabV3", "DeepLabV3Plus", "UPerNet", "PAN"])
def test_training_on_a_batch_of_one_names_the_batch_size(architecture: str) -> None:
    network = make(architecture).train()
    with pytest.raises(ValueError, match=f"{architecture} cannot train on a batch of one.*data.batch_size to 2"):
        network(torch.rand(1, 3, 64, 64))
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 3, 64, 64)
    assert network.eval()(torch.rand(1, 3, 64, 64)).shape == (1, 3, 64, 64)


@pytest.mark.parametrize("architecture", ["Unet", "PSPNet", "Segformer"])
def test_other_architectures_train_on_a_batch_of_one(architecture: str) -> None:
    make(architecture).train()(torch.rand(1, 3, 64, 64)).sum().backward()


@pytest.mark.parametrize(
    ("architecture", "encoder", "options", "message"),
    [
        ("Unett", "resnet18", {}, "architecture Unett does not exist; did you mean Unet .*UPerNet, Segformer, DPT"),
        ("Unet", "resnet81", {}, "encoder resnet81 does not exist; did you mean resnet18"),
        ("Unet", "ResNet18", {}, "encoder ResNet18 does not exist; did you mean resnet18"),
        ("Unet", "tu-convnext_ato", {}, "encoder tu-convnext_ato does not exist; did you mean tu-convnext_atto"),
        ("Unet", "tu-resnet18.nope", {}, "Unet with encoder tu-resnet18.nope .*nope"),
        ("Unet", "resnet18", {"decoder_chanels": [8]}, "no option decoder_chanels; did you mean decoder_channels"),
        ("Unet", "resnet18", {"activation": "softmax"}, "no option activation.*The options of Unet are encoder_depth"),
        ("Unet", "resnet18", {"classes": 4}, "no option classes"),
        ("Unet", "tu-test_convnext", {"decoder_chanels": [8]}, "decoder_chanels.*The options of Unet are"),
        ("Unet", "resnet18", {"encoder_depth": 9}, "Unet with encoder resnet18 .*'encoder_depth': 9.*got 9"),
        ("Linknet", "mit_b0", {}, "Linknet with encoder mit_b0.*not supported"),
        ("DPT", "resnet18", {}, "DPT with encoder resnet18.*must start with 'tu-'"),
        ("DPT", "tu-vit_small_patch14_dinov2", SMALL_DPT, "DPT cannot use encoder .* 14 pixels wide"),
    ],
)
def test_what_cannot_be_built_is_explained(
    architecture: str, encoder: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(architecture, encoder, options)


@pytest.mark.parametrize(
    ("classes", "in_channels", "message"),
    [
        (["crack"], 3, r"classes are \['crack'\].*two classes are two logits"),
        ([], 3, "at least two"),
        (["road", "sky", "road"], 3, "classes name road more than once"),
        (CLASSES, 0, "in_channels is 0"),
    ],
)
def test_impossible_specs_are_refused(classes: list[str], in_channels: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkSpec("Unet", "resnet18", classes, in_channels)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "uint8; the network takes float"),
        (torch.zeros(1, 1, 32, 32), r"shape \(1, 1, 32, 32\); the network takes \(B, 3, H, W\)"),
        (torch.zeros(3, 32, 32), r"shape \(3, 32, 32\)"),
    ],
)
def test_unsuitable_images_are_refused(image: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()(image)


def test_an_encoder_that_takes_one_size_only_says_so() -> None:
    network = make("Unet", "tu-test_maxvit")
    with pytest.raises(ValueError, match="tu-test_maxvit cannot take an image of 64x64"):
        network(torch.rand(1, 3, 64, 64))


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [([0.5], [0.5], "one value for each of 3 channels"), ([0.5] * 3, [0.5, 0.0, 0.5], "above 0")],
)
def test_impossible_normalisation_is_refused(mean: list[float], std: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make().set_normalisation(mean, std)

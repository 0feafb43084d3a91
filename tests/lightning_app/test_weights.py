"""Weights put into a network: files of an encoder, other channels, a whole network as the start."""

import copy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from weights_on_disk import (
    CLASSES,
    IMAGENET,
    SMALL_DPT,
    assert_equal_tensors,
    encoder_tensors,
    make,
    save_checkpoint,
)

from lightning_app.weights import init_from, load_encoder_weights


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


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

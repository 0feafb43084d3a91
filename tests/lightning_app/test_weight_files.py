"""Checkpoints and files of weights: what is in them, and what is refused."""

import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from weights_on_disk import assert_equal_tensors, encoder_tensors, make, save_checkpoint

from lightning_app.weight_files import read_checkpoint
from lightning_app.weights import init_from, load_encoder_weights, load_network


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


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

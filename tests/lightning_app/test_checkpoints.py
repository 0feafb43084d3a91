"""What a checkpoint is: a network in plain values, scored alike by whoever loads it."""

import socket
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from datamodules.batch import DomainName
from lightning_app.segmenter import Segmenter
from strategies import FineTune, Network, SourceOnly, Step


class Teacher(SourceOnly):
    """Infers with a frozen copy that follows the network."""

    def build(self, network: Network, classes: Any) -> None:
        assert isinstance(network, nn.Module)
        self.copy = deepcopy(network).requires_grad_(False)

    def after_step(self, network: Network, step: Step) -> None:
        assert isinstance(network, nn.Module)
        for ours, theirs in zip(self.copy.parameters(), network.parameters(), strict=True):
            ours.lerp_(theirs.detach(), 0.1)

    def inference_network(self, network: nn.Module, domain: DomainName) -> nn.Module:
        return self.copy


@pytest.fixture
def trained(tmp_path: Path, make_data: Any, make_segmenter: Any, make_trainer: Any) -> tuple[Path, dict[str, float]]:
    """A checkpoint of a run that infers with its teacher, and its validation scores."""
    segmenter = make_segmenter(Teacher())
    keeper = ModelCheckpoint(tmp_path, filename="kept", every_n_train_steps=3)
    trainer = make_trainer(max_steps=3, callbacks=[keeper], enable_checkpointing=True, limit_val_batches=0)
    trainer.fit(segmenter, make_data())
    scores = make_trainer().validate(segmenter, make_data(), verbose=False)[0]
    return tmp_path / "kept.ckpt", dict(scores)


@pytest.mark.parametrize("strategy", [Teacher, SourceOnly, FineTune, None])
def test_a_checkpoint_scores_the_same_under_any_strategy(
    strategy: Any, trained: tuple[Path, dict[str, float]], make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    path, expected = trained
    segmenter = make_segmenter(strategy and strategy())
    for parameter in segmenter.parameters():
        parameter.data.add_(0.1)  # nothing of the segmenter's own may count
    found = make_trainer().validate(segmenter, make_data(), ckpt_path=path, verbose=False, weights_only=True)[0]
    assert dict(found) == expected


def test_a_checkpoint_is_enough_to_predict(
    trained: tuple[Path, dict[str, float]], monkeypatch: pytest.MonkeyPatch, make_segmenter: Any
) -> None:
    path, _ = trained

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "socket", refuse)
    segmenter = Segmenter.load(path)
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    mask = segmenter.predict(image)
    assert mask.shape == (37, 53) and mask.dtype == np.uint8
    contents = torch.load(path, weights_only=True)
    teacher = make_segmenter(Teacher())
    teacher.load_state_dict(contents["state_dict"])
    teacher.eval()
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        expected = teacher.strategy.copy(tensor).argmax(1)[0]
    assert torch.equal(torch.from_numpy(mask), expected.to(torch.uint8))


def test_resuming_under_another_strategy_or_network_is_refused(
    trained: tuple[Path, dict[str, float]], make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    for segmenter, message in [
        (make_segmenter(SourceOnly()), "strategy Teacher, not SourceOnly"),
        (make_segmenter(Teacher(), encoder="resnet18"), "encoder tu-test_resnet, not resnet18"),
    ]:
        with pytest.raises(ValueError, match=message):
            make_trainer(max_steps=5).fit(segmenter, make_data(), ckpt_path=trained[0], weights_only=True)


def test_lightnings_own_loading_works(trained: tuple[Path, dict[str, float]]) -> None:
    path, _ = trained
    segmenter = Segmenter.load_from_checkpoint(path, strategy=Teacher(), weights_only=True)
    assert segmenter.spec.architecture == "FPN"


def test_an_image_of_other_channels_is_refused(trained: tuple[Path, dict[str, float]]) -> None:
    with pytest.raises(ValueError, match=r"takes \(H, W, 3\)"):
        Segmenter.load(trained[0]).predict(np.zeros((8, 8, 4), np.uint8))


def test_a_checkpoint_says_what_it_was_made_with(trained: tuple[Path, dict[str, float]]) -> None:
    described = torch.load(trained[0], weights_only=True)["segue"]
    assert described["strategy"] == "Teacher"
    assert described["labels_used"] == 0
    assert described["inference_network"] == "strategy.copy"
    assert described["network"]["encoder"] == "tu-test_resnet"

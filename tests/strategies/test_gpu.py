"""What only a GPU shows: half precision with a scaler, terms that wait for nothing, the same numbers as on the CPU."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from datamodules import CrossDomainDataModule
from datamodules.batch import DomainBatch
from lightning_app.segmenter import Segmenter
from strategies import Network, Step
from strategies.components import discriminator

# Nothing here means anything on a CPU, where test_contract.py covers the same configs; a GPU alone enables the file.
if not torch.cuda.is_available():
    pytest.skip("torch finds no GPU here", allow_module_level=True)

STEPS = 4
NAMES = sorted(tiny.STRATEGIES)
# The others draw on the device, or have a network of their own whose dropout does.
WITHOUT_CHANCE = [
    name
    for name in NAMES
    if name.startswith(("adaptive", "adversarial", "entropy", "fine_tune", "partial_freezing", "self", "source"))
    and not name.endswith("daformer")
]
UNET: dict[str, Any] = {"architecture": "Unet", "options": {"encoder_depth": 3, "decoder_channels": [32, 16, 8]}}


@pytest.fixture(scope="module", autouse=True)
def narrow() -> Iterator[None]:
    """Makes discriminators narrow, and float32 what it says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discriminator, "WIDTHS", (4, 8, 8, 8))
        patch.setattr(torch.backends.cudnn, "allow_tf32", False)
        yield


@pytest.fixture
def fit(tmp_path: Path) -> Any:
    """Trains a tiny network without dropout under the strategy of a tiny config."""

    def fit(name: str, *callbacks: Callback, **settings: Any) -> Segmenter:
        segmenter = tiny.make_segmenter(tiny.make_strategy(name), **UNET)
        trainer = Trainer(
            **{**tiny.TRAINER, "accelerator": "gpu", "devices": 1, "default_root_dir": tmp_path, **settings},
            max_steps=STEPS,
            limit_val_batches=0,
            callbacks=list(callbacks),
        )
        trainer.fit(segmenter, make_data(name))
        return segmenter

    return fit


def make_data(name: str) -> CrossDomainDataModule:
    return tiny.make_data(steps_per_epoch=STEPS, strength="strong", workers=0, **tiny.data_settings(name))


class WaitsForNothing(Callback):
    """Has torch refuse to synchronise within a step; passes over the target may, and the first step, which warms up."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Segmenter) and pl_module.strategy is not None
        refresh = pl_module.strategy.refresh

        def between_steps(network: Network, target_batches: Iterable[DomainBatch], step: Step) -> None:
            mode = torch.cuda.get_sync_debug_mode()
            torch.cuda.set_sync_debug_mode("default")
            refresh(network, target_batches, step)
            torch.cuda.set_sync_debug_mode(mode)

        self._patch.setattr(pl_module.strategy, "refresh", between_steps)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        torch.cuda.set_sync_debug_mode("error" if batch_idx else "default")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", NAMES)
def test_a_step_does_not_wait_for_the_device(name: str, fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        fit(name, WaitsForNothing(monkeypatch))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_trains_and_stays_finite(name: str, precision: str, fit: Any) -> None:
    start = {
        key: value.clone() for key, value in tiny.make_segmenter(tiny.make_strategy(name), **UNET).named_parameters()
    }
    end = fit(name, precision=precision)
    assert all(value.isfinite().all() for value in end.state_dict().values())
    trained = {key: value.cpu() for key, value in end.named_parameters() if value.requires_grad and key in start}
    assert any(not torch.equal(start[key], value) for key, value in trained.items())


@pytest.mark.parametrize("name", WITHOUT_CHANCE)
def test_the_first_gradients_are_those_of_the_cpu(name: str, fit: Any) -> None:
    found: list[dict[str, Tensor]] = []
    for accelerator in ("gpu", "cpu"):
        recorder = tiny.Recorder()
        fit(name, recorder, accelerator=accelerator)
        found.append({key: value.cpu() for key, value in recorder.gradients[0].items()})
    ours, theirs = found
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        # Sums are in another order; relative to the largest of a layer, for small ones are differences of large ones.
        assert (ours[key] - value).abs().max() <= 1e-3 * value.abs().max() + 1e-6, key


@pytest.mark.parametrize("name", ["class_mix", "adversarial_alignment_output", "self_training"])
def test_one_rank_with_synchronised_batchnorm_trains_like_no_rank(name: str, fit: Any) -> None:
    alone, rank = tiny.Recorder(), tiny.Recorder()
    fit(name, alone)
    try:
        fit(name, rank, strategy="ddp", sync_batchnorm=True)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    for key, value in alone.gradients[0].items():
        other = rank.gradients[0][key]
        assert (other - value).abs().max() <= 1e-3 * value.abs().max() + 1e-6, key

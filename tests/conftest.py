"""What several tests need: a tiny network, a tiny pair of domains and a trainer without extras."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from datamodules import CrossDomainDataModule, SyntheticStreets
from lightning_app.segmenter import Segmenter
from strategies import Strategy

# What Lightning calls of jsonargparse is Lightning's to mend.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
# Two threads on tiny tensors are slower than one.
torch.set_num_threads(1)

TINY_NETWORK: dict[str, Any] = {
    "architecture": "FPN",  # its decoder has dropout, so that chance matters
    "encoder": "resnet18",
    "options": {"encoder_depth": 4, "decoder_pyramid_channels": 32, "decoder_segmentation_channels": 32},
}


@pytest.fixture
def make_data() -> Callable[..., CrossDomainDataModule]:
    """A pair of domains of 32 × 48 pixels: 10 training, 3 validation and 3 test images each."""

    def make(**settings: Any) -> CrossDomainDataModule:
        counts: dict[str, int] = {"train": 10, "val": 3, "test": 3}
        return CrossDomainDataModule(
            **{
                "source": SyntheticStreets(look="day", size=(32, 48), **counts),
                "target": SyntheticStreets(look="dusk", size=(32, 48), **counts),
                "crop": (32, 32),
                "scale": (1.0, 1.0),
                "batch_size": 2,
                **settings,
            }
        )

    return make


@pytest.fixture
def make_segmenter() -> Callable[..., Segmenter]:
    """A segmenter with the tiny network; the same settings give the same weights."""

    def make(strategy: Strategy | None, **settings: Any) -> Segmenter:
        torch.manual_seed(0)
        classes = list(SyntheticStreets.classes)
        return Segmenter(**{"classes": classes, "strategy": strategy, **TINY_NETWORK, **settings})

    return make


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., Trainer]:
    """A trainer on the CPU that writes nothing unless told."""

    def make(**settings: Any) -> Trainer:
        return Trainer(
            **{
                "accelerator": "cpu",
                "devices": 1,
                "logger": False,
                "enable_checkpointing": False,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "num_sanity_val_steps": 0,
                "default_root_dir": tmp_path,
                **settings,
            }
        )

    return make


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keeps W&B and the model hubs away from any test."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield
    os.environ.pop("PL_GLOBAL_SEED", None)

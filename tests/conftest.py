"""What several tests need: a tiny network, a tiny pair of domains and a trainer without extras."""

import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import tiny
import torch
from hypothesis import settings
from lightning.pytorch import Trainer

from datamodules import CrossDomainDataModule
from lightning_app.segmenter import Segmenter

# The same examples in every run, however slow the machine: a failure is the change's and nobody's luck.
settings.register_profile("segue", derandomize=True, deadline=None, database=None, max_examples=50)
settings.load_profile("segue")
# What Lightning calls of jsonargparse is Lightning's to mend.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
# Lightning's loggers hand their messages on to caplog only if some package had set up the root logger before it.
for logger in ("lightning.fabric", "lightning.pytorch"):
    logging.getLogger(logger).propagate = True
# Two threads on tiny tensors are slower than one.
torch.set_num_threads(1)


@pytest.fixture
def make_data() -> Callable[..., CrossDomainDataModule]:
    """Makes a pair of domains of 32 × 48 pixels: 10 training, 3 validation and 3 test images each."""
    return tiny.make_data


@pytest.fixture
def make_segmenter() -> Callable[..., Segmenter]:
    """Makes a segmenter with the tiny network; the same settings give the same weights."""
    return tiny.make_segmenter


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., Trainer]:
    """Makes a trainer on the CPU that writes nothing unless told."""

    def make(**settings: Any) -> Trainer:
        return Trainer(**{**tiny.TRAINER, "devices": 1, "default_root_dir": tmp_path, **settings})

    return make


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


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keeps W&B and the model hubs away from any test."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield
    os.environ.pop("PL_GLOBAL_SEED", None)

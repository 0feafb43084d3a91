"""A data module, a stand-in for a strategy, and a module that keeps what both give it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from datamodules.batch import Batch, RareClassSampling, StreamName
from datamodules.cross_domain_data_module import CrossDomainDataModule

CLASSES = ["road", "car", "sky"]


class Declares:
    """Stands for a strategy: the data module reads nothing else of one."""

    name = "Declares"

    def __init__(self, required: Sequence[StreamName], optional: Sequence[StreamName] = ()) -> None:
        self.required_streams = required
        self.optional_streams = optional
        self.requests: Sequence[RareClassSampling] = ()


class Recorder(LightningModule):
    """Keeps what it is given."""

    consumed_batches: Tensor

    def __init__(self, strategy: Declares) -> None:
        super().__init__()
        self.strategy = strategy
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer("consumed_batches", torch.tensor(0))
        self.seen: list[Batch] = []
        self.scored: list[Any] = []

    def training_step(self, batch: Batch) -> Tensor:
        self.seen.append(batch)
        self.consumed_batches += 1
        return self.weight.sum()

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.scored.append(batch)

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return batch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def data_of(source: Path | None, target: Path | None, **options: Any) -> CrossDomainDataModule:
    options = {"classes": CLASSES, "batch_size": 2, "crop": (8, 8), "workers": 0, **options}
    return CrossDomainDataModule(
        None if source is None else str(source), None if target is None else str(target), **options
    )


def quiet_trainer(**options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


def fit(data: CrossDomainDataModule, strategy: Declares, **options: Any) -> Recorder:
    module = Recorder(strategy)
    quiet_trainer(**{"max_epochs": 1, "limit_val_batches": 0, **options}).fit(module, data)
    return module


def same(first: Sequence[Batch], second: Sequence[Batch]) -> bool:
    return len(first) == len(second) and all(
        one.keys() == other.keys()
        and all(
            one[stream]["name"] == other[stream]["name"] and torch.equal(one[stream]["image"], other[stream]["image"])
            for stream in one
        )
        for one, other in zip(first, second, strict=True)
    )

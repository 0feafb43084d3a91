"""A step of ``lightning fit`` over a step of a loop written by hand."""

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader

from benchmarks.comparison import Comparison
from benchmarks.image_folder import write_image_folder
from datamodules import CrossDomainDataModule, SyntheticStreets
from datamodules.batch import IGNORE, DomainBatch
from datamodules.dataset import to_device_values
from lightning_app.command_line import run
from lightning_app.segmenter import Segmenter

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "example" / "streets.yaml"
TARGET = 1.03
WARM_UP = 3
"""Epochs that do not count: the first steps choose their kernels and allocate their memory."""


class InTurns(Callback):
    """Trains a copy of the network by hand before each epoch of a fit, and notes how long both took.

    The loop by hand reads the very images that the epoch is going to read, by the same data set and sampler.

    Args:
        path: JSON file to be written at the end: for every epoch [fit, by hand], each [wall, CPU] in seconds.

    Attributes:
        network: the copy, once training has begun.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.network: nn.Module
        self._pairs: list[tuple[list[float], list[float]]] = []
        self._by_hand: list[float] = []
        self._started: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copies the network, and makes the copy an optimizer and a schedule like the fit's."""
        assert isinstance(pl_module, Segmenter)
        total = int(trainer.estimated_stepping_batches)
        self.network = copy.deepcopy(pl_module.network)
        self._optimizer = pl_module.optimizer([{"params": list(self.network.parameters())}])
        self._scheduler = LambdaLR(self._optimizer, lambda step: pl_module.schedule.factor(step, total))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends the measurement of one epoch of the fit, trains by hand, and starts the next."""
        self._note()
        data = cast(CrossDomainDataModule, getattr(trainer, "datamodule", None))
        loader = cast("DataLoader[DomainBatch]", data.train_dataloader().flattened[0])
        started = _clock()
        train_by_hand(self.network, loader, self._optimizer, self._scheduler)
        self._by_hand = _since(started)
        self._started = _clock()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the pairs."""
        self._note()
        self.path.write_text(json.dumps(self._pairs))

    def _note(self) -> None:
        if self._started:
            self._pairs.append((_since(self._started), self._by_hand))


def train_by_hand(
    network: nn.Module, loader: "DataLoader[DomainBatch]", optimizer: Optimizer, scheduler: LRScheduler
) -> None:
    """Trains for one pass over a loader, with nothing but PyTorch.

    Args:
        network: maps (B, C, H, W) to logits (B, classes, H, W); in training mode.
        loader: batches of images and masks.
        optimizer: of the network's parameters.
        scheduler: of the optimizer, by the step.
    """
    for raw in loader:
        batch = to_device_values(raw)
        optimizer.zero_grad()
        logits = network(batch["image"])
        functional.cross_entropy(logits, batch["mask"], ignore_index=IGNORE).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()


def training_step(
    pairs: int, steps: int = 3, size: tuple[int, int] = (96, 128), batch_size: int = 8
) -> Iterator[Comparison]:
    """Compares a step of ``lightning fit`` with one of a loop by hand.

    Both read their images in the main process. The fit is the command line's own, with its callbacks, the CSV logger
    and the progress bar; it logs once an epoch. Validation and checkpoints are left out.

    Args:
        pairs: epochs that count, of the fit and by hand.
        steps: steps of an epoch; the fewer, the less changes between the two of a pair.
        size: height and width of the images in pixels.
        batch_size: images of a batch.

    Yields:
        The wall time and the CPU time of a step, for images drawn on demand and for images read from files.
    """
    height, width = size
    with TemporaryDirectory() as folder:
        files = Path(folder) / "files"
        write_image_folder(files, size, steps * batch_size, ".png")
        sources = {
            "drawn": [
                "--data.source=SyntheticStreets",
                f"--data.source.size=[{height}, {width}]",
                f"--data.source.train={steps * batch_size}",
            ],
            "from PNG": [
                f"--data.source={files}",
                f"--data.classes={json.dumps(list(SyntheticStreets.classes or ()))}",
            ],
        }
        for name, options in sources.items():
            path = Path(folder) / f"{name}.json"
            run(
                [
                    "fit",
                    f"--config={CONFIG}",
                    f"--run={folder}/{name}",
                    *options,
                    f"--data.crop=[{height}, {width}]",
                    f"--data.batch_size={batch_size}",
                    f"--data.steps_per_epoch={steps}",
                    "--model.encoder_weights=null",
                    "--trainer.accelerator=cpu",
                    f"--trainer.max_steps={(WARM_UP + pairs) * steps}",
                    f"--trainer.log_every_n_steps={steps}",
                    "--trainer.limit_val_batches=0",
                    "--trainer.callbacks=benchmarks.training_step.InTurns",
                    f"--trainer.callbacks.path={path}",
                ]
            )
            noted = json.loads(path.read_text())[WARM_UP:]
            for place, clock in enumerate(("wall", "CPU")):
                yield Comparison.of_pairs(
                    f"images {name}, {batch_size} × {height} × {width}",
                    f"{clock} ms a step",
                    [(1e3 * fit[place] / steps, 1e3 * hand[place] / steps) for fit, hand in noted],
                    TARGET,
                )


def _clock() -> list[float]:
    # CPU time does not count the waiting for a core that another program holds.
    return [time.perf_counter(), time.process_time()]


def _since(started: list[float]) -> list[float]:
    return [now - then for now, then in zip(_clock(), started, strict=True)]

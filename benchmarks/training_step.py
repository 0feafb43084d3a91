"""A step of ``lightning fit`` over a step of a loop written by hand."""

import copy
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from benchmarks.comparison import Comparison
from benchmarks.image_folder import write_image_folder
from datamodules import CrossDomainDataModule, SyntheticStreets
from datamodules.batch import IGNORE, DomainBatch
from datamodules.dataset import to_device_values
from lightning_app.command_line import run
from lightning_app.segmenter import Segmenter
from strategies import AdversarialAlignment

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "example" / "streets.yaml"
TARGET = 1.03
WARM_UP = 3
"""Epochs that do not count: the first steps choose their kernels and allocate their memory."""


class InTurns(Callback):
    """Trains a copy of the network by hand before each epoch of a fit, and notes how long both took.

    The loop by hand reads the very images that the epoch is going to read, by the same data sets and samplers.

    Args:
        path: JSON file to be written at the end: for every epoch [fit, by hand], each [wall, CPU] in seconds.
        by_hand: ``source`` trains on the labelled source alone; ``two_optimizers`` does what AdversarialAlignment does
            at level ``output``, in AdaptSegNet's order.

    Attributes:
        loop: the loop by hand, once training has begun.
    """

    def __init__(self, path: str, by_hand: Literal["source", "two_optimizers"] = "source") -> None:
        self.path = Path(path)
        self.loop: SourceByHand | TwoOptimizersByHand
        self._make = SourceByHand if by_hand == "source" else TwoOptimizersByHand
        self._pairs: list[tuple[list[float], list[float]]] = []
        self._by_hand: list[float] = []
        self._started: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copies what is trained."""
        assert isinstance(pl_module, Segmenter)
        self.loop = self._make(pl_module, int(trainer.estimated_stepping_batches))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends the measurement of one epoch of the fit, trains by hand, and starts the next."""
        self._note()
        data = cast(CrossDomainDataModule, getattr(trainer, "datamodule", None))
        loaders = cast("dict[str, DataLoader[DomainBatch]]", data.train_dataloader().iterables)
        started = _clock()
        self.loop.train(loaders)
        self._by_hand = _since(started)
        self._started = _clock()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the pairs."""
        self._note()
        self.path.write_text(json.dumps(self._pairs))

    def _note(self) -> None:
        if self._started:
            self._pairs.append((_since(self._started), self._by_hand))


class SourceByHand:
    """Training on the labelled source with nothing but PyTorch.

    Args:
        segmenter: whose network is copied, and whose optimizer and schedule are made again.
        total: optimizer steps of the run.

    Attributes:
        network: the copy.
    """

    def __init__(self, segmenter: Segmenter, total: int) -> None:
        self.network = copy.deepcopy(segmenter.network)
        self._optimizer = segmenter.optimizer([{"params": list(self.network.parameters())}])
        self._scheduler = LambdaLR(self._optimizer, lambda step: segmenter.schedule.factor(step, total))

    def train(self, loaders: "dict[str, DataLoader[DomainBatch]]") -> None:
        """Trains for one pass over the loader of the source (or, without one, of the labelled target)."""
        for raw in loaders.get("source") or loaders["labelled_target"]:
            batch = to_device_values(raw)
            self._optimizer.zero_grad()
            loss = functional.cross_entropy(self.network(batch["image"]), batch["mask"], ignore_index=IGNORE)
            torch.autograd.backward(loss)
            self._optimizer.step()
            self._scheduler.step()


class TwoOptimizersByHand:
    """AdaptSegNet's updates on softmax maps with nothing but PyTorch: two optimizers that take turns.

    Args:
        segmenter: whose network and discriminator are copied, and whose optimizer and schedule are made again.
        total: optimizer steps of the run.

    Attributes:
        network: the copy of the network.
        discriminator: the copy of the discriminator.
    """

    def __init__(self, segmenter: Segmenter, total: int) -> None:
        strategy = segmenter.strategy
        assert isinstance(strategy, AdversarialAlignment)
        self.network = copy.deepcopy(segmenter.network)
        self.discriminator = copy.deepcopy(strategy.discriminators[0])
        own = {"lr": strategy.discriminator_lr, "betas": strategy.discriminator_betas, "weight_decay": 0.0}
        self._weight = strategy.weights[0]
        self._optimizers = [
            segmenter.optimizer([{"params": list(self.network.parameters())}]),
            segmenter.optimizer([{"params": list(self.discriminator.parameters()), **own}]),
        ]
        self._schedulers = [
            LambdaLR(optimizer, lambda step: segmenter.schedule.factor(step, total)) for optimizer in self._optimizers
        ]

    def train(self, loaders: "dict[str, DataLoader[DomainBatch]]") -> None:
        """Trains for one pass over the loaders of source and target."""
        for raw_source, raw_target in zip(loaders["source"], loaders["target"], strict=True):
            source, target = to_device_values(raw_source), to_device_values(raw_target)
            for optimizer in self._optimizers:
                optimizer.zero_grad()
            self.discriminator.requires_grad_(False)
            of_source = self.network(source["image"])
            torch.autograd.backward(functional.cross_entropy(of_source, source["mask"], ignore_index=IGNORE))
            of_target = self.network(target["image"]).softmax(dim=1)
            torch.autograd.backward(self._weight * _judged(self.discriminator(of_target), 0.0))
            self.discriminator.requires_grad_(True)
            for maps, label in ((of_source.detach().softmax(dim=1), 0.0), (of_target.detach(), 1.0)):
                torch.autograd.backward(_judged(self.discriminator(maps), label) / 2)
            for optimizer in self._optimizers:
                optimizer.step()
            for scheduler in self._schedulers:
                scheduler.step()


def _judged(answers: Tensor, label: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(answers, torch.full_like(answers, label))


def fit_in_turns(
    path: Path, options: Sequence[str], epochs: int, steps: int, by_hand: str = "source"
) -> list[tuple[list[float], list[float]]]:
    """Runs a fit of the command line beside a loop by hand, without validation and checkpoints, logging once an epoch.

    Args:
        path: JSON file that is written beside the run's folder.
        options: of the command line, behind ``fit`` and the config.
        epochs: epochs that count.
        steps: steps of an epoch.
        by_hand: as in ``InTurns``.

    Returns:
        For each epoch that counts (fit, by hand), each [wall, CPU] in seconds.
    """
    run(
        [
            "fit",
            f"--config={CONFIG}",
            f"--run={path.with_suffix('')}",
            *options,
            f"--data.steps_per_epoch={steps}",
            "--model.encoder_weights=null",
            "--trainer.accelerator=cpu",
            f"--trainer.max_steps={(WARM_UP + epochs) * steps}",
            f"--trainer.log_every_n_steps={steps}",
            "--trainer.limit_val_batches=0",
            "--trainer.callbacks=benchmarks.training_step.InTurns",
            f"--trainer.callbacks.path={path}",
            f"--trainer.callbacks.by_hand={by_hand}",
        ]
    )
    noted: list[tuple[list[float], list[float]]] = json.loads(path.read_text())[WARM_UP:]
    return noted


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
            options = [*options, f"--data.crop=[{height}, {width}]", f"--data.batch_size={batch_size}"]
            noted = fit_in_turns(Path(folder) / f"{name}.json", options, pairs, steps)
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

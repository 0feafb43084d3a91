"""A few steps of the real run, to tell its time and its memory."""

import logging
import math
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from datamodules import CrossDomainDataModule
from datamodules.dataset import DomainDataset
from datamodules.loaders import cores
from datamodules.samplers import Draw
from lightning_app.callbacks.monitor_check import MonitorCheck
from lightning_app.check.check_trainer import CheckTrainer
from lightning_app.check.estimate import Estimate
from lightning_app.check.wording import counted
from lightning_app.memory import peak_memory
from lightning_app.segmenter import Segmenter
from strategies import Strategy

MOST_SECONDS = 60
"""No further step begins after this time."""
_VALIDATED = 3
_PASSED = 3
_CROPS_TIMED = 8


def make_trainer(settings: Mapping[str, Any], checkpoint: ModelCheckpoint, steps: int) -> CheckTrainer:
    """Makes the trainer of a trial: that of the run, but for one device and a few steps, and it writes nothing.

    Args:
        settings: arguments of the run's trainer.
        checkpoint: the run's checkpoint callback, whose monitor is checked.
        steps: optimizer steps; with 0 the trainer is never used and needs no accelerator.
    """
    changed: dict[str, Any] = {
        "devices": 1,
        "num_nodes": 1,
        "strategy": "auto",
        "logger": False,
        "callbacks": [ModelCheckpoint(monitor=checkpoint.monitor, mode=checkpoint.mode, save_top_k=0), MonitorCheck()],
        "enable_checkpointing": True,
        "fast_dev_run": False,
        "max_epochs": -1,
        "max_steps": max(steps, 1),
        "min_epochs": None,
        "min_steps": None,
        "max_time": None,
        "overfit_batches": 0.0,
        "limit_val_batches": 0 if settings["limit_val_batches"] == 0 else _VALIDATED,
        # Behind the last step, and over the end of short epochs.
        "check_val_every_n_epoch": None,
        "val_check_interval": max(steps, 1) * settings["accumulate_grad_batches"],
        "num_sanity_val_steps": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "profiler": None,
    }
    if steps == 0:
        changed |= {"accelerator": "cpu", "precision": None}
    return CheckTrainer(**{**settings, **changed})


def try_steps(
    trainer: CheckTrainer, segmenter: Segmenter, data: CrossDomainDataModule, settings: Mapping[str, Any]
) -> Estimate:
    """Trains a few steps, validates a few images, and tells from them what the run will take.

    Args:
        trainer: what ``make_trainer`` made.
        segmenter: the run's network and strategy; its weights are changed.
        data: the run's data.
        settings: arguments of the run's trainer.

    Raises:
        ValueError: or what else stops the run.
    """
    clock, load = _Clock(), os.getloadavg()[0] / (os.cpu_count() or 1)
    trainer.callbacks.append(clock)  # type: ignore[attr-defined]  # Lightning's Trainer has it
    with _quiet(), _short_passes(data, clock, trainer):
        trainer.fit(segmenter, datamodule=data)
    loaders = list(dict(trainer.train_dataloader or {}).values())
    batches, accumulate = min(len(loader) for loader in loaders), settings["accumulate_grad_batches"]
    steps = total_steps(settings, batches)
    computing, reading = (
        _steady(clock.trained),
        _reading([_seconds_of_batch(loader) for loader in loaders], data.workers),
    )
    if data.workers == 0:
        computing, reading = computing + reading, 0.0
    loaders = list(trainer.val_dataloaders or ())
    is_cuda = trainer.strategy.root_device.type == "cuda"
    return Estimate(
        device=torch.cuda.get_device_name() if is_cuda else f"CPU, {counted(torch.get_num_threads(), 'thread')}",
        measured_steps=max((len(clock.trained) - 1) // accumulate, 1),
        computing=computing * accumulate,
        reading=reading * accumulate,
        steps=steps,
        validations=validations(settings, batches, steps),
        validating=sum(
            _limited(len(loaders[place].dataset), settings["limit_val_batches"])
            * _together(_steady(seconds), _seconds_of_image(loaders[place].dataset, range(_VALIDATED)), data.workers)
            for place, seconds in clock.validated.items()
        ),
        measured_images=sum(max(len(seconds) - 1, 1) for seconds in clock.validated.values()),
        passes=passes(segmenter.strategy, steps, trainer.max_steps, len(clock.passed)),
        passing=_seconds_of_pass(data, [one for seconds in clock.passed for one in seconds]),
        passed_images=max(sum(map(len, clock.passed)) - 1, 1),
        peak_memory=peak_memory(trainer.strategy.root_device),
        memory=torch.cuda.mem_get_info()[1] if is_cuda else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        load=load,
    )


def total_steps(settings: Mapping[str, Any], batches: int) -> int:
    """Returns the optimizer steps of a run.

    Args:
        settings: arguments of its trainer.
        batches: batches of an epoch.

    Raises:
        ValueError: if it has no end.
    """
    max_steps, max_epochs = settings["max_steps"], settings["max_epochs"]
    if max_epochs is None and max_steps == -1:
        max_epochs = 1000  # Lightning's own default
    if max_epochs in (None, -1):
        if max_steps == -1:
            raise ValueError("The run has no end, so the learning rate has no course: set trainer.max_steps.")
        return int(max_steps)
    steps = max_epochs * _steps_of_epoch(settings, batches)
    return int(steps if max_steps == -1 else min(steps, max_steps))


def validations(settings: Mapping[str, Any], batches: int, steps: int) -> int:
    """Returns how often a run validates; validations at intervals of time are not counted.

    Args:
        settings: arguments of its trainer.
        batches: batches of an epoch.
        steps: optimizer steps of the run.
    """
    interval, every = settings["val_check_interval"], settings["check_val_every_n_epoch"]
    interval = 1.0 if interval is None else interval
    if settings["limit_val_batches"] == 0 or not isinstance(interval, int | float):
        return 0
    if every is None:
        return int(steps * settings["accumulate_grad_batches"] // interval)
    used = _limited(batches, settings["limit_train_batches"])
    in_epoch: int = used // (interval if isinstance(interval, int) else max(1, int(used * interval)))
    return int(steps / _steps_of_epoch(settings, batches) / every * in_epoch)


def passes(strategy: Strategy | None, steps: int, tried: int, seen: int) -> int:
    """Returns how often a strategy passes over the target's images in a run.

    Args:
        strategy: the strategy.
        steps: optimizer steps of the run.
        tried: optimizer steps of the trial.
        seen: passes in the trial. A strategy may let the one behind the last step go by.
    """
    every = None if strategy is None else strategy.refresh_every
    if every is None or seen == 0:
        return 0
    before, before_tried = (math.ceil(number / every) if every else 0 for number in (steps, tried))
    return before + (seen > before_tried)


def _steps_of_epoch(settings: Mapping[str, Any], batches: int) -> int:
    accumulate: int = settings["accumulate_grad_batches"]
    return math.ceil(_limited(batches, settings["limit_train_batches"]) / accumulate)


def _limited(count: int, limit: int | float | None) -> int:
    """Applies one of Lightning's limits: a number, or a share."""
    if limit is None:
        return count
    return min(count, limit) if isinstance(limit, int) else math.floor(count * limit)


class _Clock(Callback):
    """Takes the seconds of each batch, and ends a training that takes too long."""

    def __init__(self) -> None:
        self.trained: list[float] = []
        self.validated: dict[int, list[float]] = {}
        self.passed: list[list[float]] = []
        """Of each pass over the target, the seconds that the strategy took for each image."""
        self._began = time.monotonic()
        self._started = 0.0

    def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
        self._started = _now(trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        self.trained.append(_now(trainer) - self._started)
        if time.monotonic() - self._began > MOST_SECONDS:
            trainer.should_stop = True

    def leave_out(self, seconds: float) -> None:
        """Leaves out seconds of the batch that are no part of the step."""
        self._started += seconds

    def on_validation_batch_start(self, trainer: Trainer, *_: object) -> None:
        self._started = _now(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.validated.setdefault(dataloader_idx, []).append(_now(trainer) - self._started)


@contextmanager
def _short_passes(data: CrossDomainDataModule, clock: _Clock, trainer: Trainer) -> Iterator[None]:
    """Shows a strategy that passes over the target only a few of the images, and takes the time."""
    whole = data.target_images

    class Few:
        def __iter__(self) -> Iterator[Any]:
            seconds: list[float] = []
            clock.passed.append(seconds)
            began = _now(trainer)
            try:
                for image in islice(whole(), _PASSED):
                    handed = _now(trainer)
                    yield image
                    seconds.append(_now(trainer) - handed)
            finally:
                clock.leave_out(_now(trainer) - began)

    data.target_images = Few  # type: ignore[assignment,method-assign]  # what is read of it is all that a pass asks for
    try:
        yield
    finally:
        del data.target_images


def _seconds_of_pass(data: CrossDomainDataModule, seconds: list[float]) -> float:
    """Returns the seconds of a pass over all target images, by those of a few."""
    if not seconds:
        return 0.0
    images = cast(DomainDataset, data.target_images().dataset)
    return len(images) * _together(_steady(seconds), _seconds_of_image(images, range(_PASSED)), data.workers)


def _now(trainer: Trainer) -> float:
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.synchronize()
    return time.monotonic()


def _steady(seconds: list[float]) -> float:
    """Returns the mean, without the first: memory and kernels are chosen in it."""
    steady = seconds[1:] or seconds
    return sum(steady) / max(len(steady), 1)


def _seconds_of_batch(loader: Any) -> float:  # noqa: ANN401 - a loader of the data module
    """Returns the seconds in which one process reads a batch of a stream."""
    dataset = loader.dataset
    images = [index * len(dataset) // _CROPS_TIMED for index in range(_CROPS_TIMED)]
    began = time.monotonic()
    for number, image in enumerate(images):
        dataset[Draw(image, number)]
    return float(loader.batch_size * (time.monotonic() - began) / len(images))


def _seconds_of_image(dataset: DomainDataset, items: Sequence[int]) -> float:
    """Returns the seconds in which one process reads a whole image."""
    began = time.monotonic()
    for item in items[: len(dataset)]:
        dataset[item]
    return (time.monotonic() - began) / max(min(len(items), len(dataset)), 1)


def _together(computing: float, reading: float, workers: int) -> float:
    """Returns the seconds of an image that is read in this process, or by workers while others are computed."""
    return computing + reading if workers == 0 else max(computing, reading / min(workers, cores()))


def _reading(streams: list[float], workers: int) -> float:
    """Returns the seconds in which the workers of all streams read a batch each."""
    processes = min(workers * len(streams), cores())
    return max(sum(streams) / max(processes, 1), *(seconds / max(workers, 1) for seconds in streams))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to itself what Lightning and the data module say of a run; the report says it."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

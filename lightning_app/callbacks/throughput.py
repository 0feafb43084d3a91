"""How fast a run trains, and how much memory it takes."""

import time
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from datamodules.batch import DomainBatch
from lightning_app.memory import peak_memory


class Throughput(Callback):
    """Logs ``train/images_per_second`` and ``train/memory_mib`` with the other curves.

    Images of all streams and ranks count, over the steps since the last line of the log and without the time of
    validations. Memory is the most so far on rank 0: on a GPU what is reserved there, else what the process itself
    held. Nothing waits for the device: the log reads the losses in the same steps, and that does.

    Lightning's ``ThroughputMonitor`` waits for it in every step, and its ``DeviceStatsMonitor`` logs dozens of numbers
    under names of their own.

    Attributes:
        measured: whether the step that ended was the last of such an interval.
        latest: images a second in the last interval.
    """

    def __init__(self) -> None:
        self.measured = False
        self.latest = 0.0
        self._images = 0
        self._training = 0.0
        """Seconds without validations."""
        self._clock: float | None = None
        """Since when training seconds are to be added; None while nothing trains."""
        self._line = (0, 0.0)
        """Images and training seconds at the last line."""
        self._fitting = 0.0
        """Seconds of the parts of the run before a resume."""
        self._began: float | None = None
        self._first_step = 0
        self._memory = 0.0

    @property
    def images_per_second(self) -> float:
        """Images a second over the whole run."""
        self._add_time()
        return self._images / self._training if self._training else 0.0

    @property
    def seconds(self) -> float:
        """Seconds of fitting with validations, summed over resumes."""
        return self._fitting + self._elapsed

    @property
    def memory_mib(self) -> float:
        """The most memory of the run at its last measurement, in MiB."""
        return self._memory

    def seconds_left(self, step: int, steps: int) -> float | None:
        """Returns for how long the run goes on at the pace of its steps and validations so far; None is not known.

        Args:
            step: optimizer steps done.
            steps: optimizer steps of the run.
        """
        done = step - self._first_step
        return None if done <= 0 else self._elapsed / done * max(steps - step, 0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count."""
        self._began = time.monotonic()
        self._first_step = trainer.global_step
        self._line = (self._images, self._training)
        self.measure_memory(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Goes on counting behind a validation and what callbacks made of it."""
        if self._clock is None:
            self._clock = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Mapping[str, DomainBatch],
        batch_idx: int,
    ) -> None:
        """Counts the images, and logs in the steps in which Lightning writes the log."""
        self._images += trainer.world_size * sum(len(stream["name"]) for stream in batch.values())
        stepped = not getattr(pl_module, "accumulating", False)
        self.measured = stepped and trainer.global_step % log_interval(trainer) == 0
        if not self.measured:
            return
        self._add_time()
        images, seconds = self._line
        self.latest = (self._images - images) / max(self._training - seconds, 1e-9)
        self._line = (self._images, self._training)
        self.measure_memory(trainer)
        pl_module.log_dict({"train/images_per_second": self.latest, "train/memory_mib": self._memory}, batch_size=1)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops counting."""
        self._add_time()
        self._clock = None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops counting for good."""
        self._stop(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stops counting for good."""
        self._stop(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Returns what a resumed run goes on counting from."""
        self._add_time()
        return {
            "images": self._images,
            "training_seconds": self._training,
            "seconds": self.seconds,
            "memory_mib": self._memory,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the counts of the run that is resumed."""
        self._images, self._training = state_dict["images"], state_dict["training_seconds"]
        self._fitting, self._memory = state_dict["seconds"], state_dict["memory_mib"]

    def measure_memory(self, trainer: Trainer) -> None:
        """Looks how much memory the run has taken by now."""
        self._memory = max(self._memory, peak_memory(trainer.strategy.root_device) / 2**20)

    @property
    def _elapsed(self) -> float:
        return 0.0 if self._began is None else time.monotonic() - self._began

    def _add_time(self) -> None:
        if self._clock is not None:
            now = time.monotonic()
            self._training += now - self._clock
            self._clock = now

    def _stop(self, trainer: Trainer) -> None:
        self._add_time()
        self._fitting, self._began, self._clock = self.seconds, None, None
        self.measure_memory(trainer)


def log_interval(trainer: Trainer) -> int:
    """Returns the steps from one line of the log to the next, for what goes on where Lightning is to log none (0)."""
    return getattr(trainer, "log_every_n_steps", 0) or 50

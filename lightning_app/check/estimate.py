"""What a run will take, by a few steps of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """Time and memory of a run, measured over a few steps and images.

    Attributes:
        device: what it was measured on.
        measured_steps: optimizer steps that were timed.
        computing: seconds that an optimizer step computes.
        reading: seconds in which the workers read the crops of an optimizer step; 0 if the main process reads.
        steps: optimizer steps of the whole run.
        validations: how often the run validates.
        validating: seconds of a validation; 0 if there is nothing to validate.
        measured_images: images over which that was measured.
        passes: how often the strategy passes over the target's training images between two steps.
        passing: seconds of such a pass over all of them.
        passed_images: images over which that was measured.
        peak_memory: bytes of the device's memory at most, or of the main process on a CPU.
        memory: bytes that there are.
        load: processes that wanted a core in the minute before, for each core that there is.
    """

    device: str
    measured_steps: int
    computing: float
    reading: float
    steps: int
    validations: int
    validating: float
    measured_images: int
    passes: int
    passing: float
    passed_images: int
    peak_memory: int
    memory: int
    load: float

    @property
    def step(self) -> float:
        """Seconds of an optimizer step: what takes longer, computing or reading."""
        return max(self.computing, self.reading)

    @property
    def total(self) -> float:
        """Seconds of the whole run."""
        return self.steps * self.step + self.validations * self.validating + self.passes * self.passing

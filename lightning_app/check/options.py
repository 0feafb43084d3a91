"""What a check reads, and where its report goes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckOptions:
    """What ``lightning check`` reads and tries.

    Args:
        sample: at most so many images of each split are read, spread evenly; null reads all.
        all_masks: whether the target training masks that ``data.labels`` does not give are read as well.
        workers: processes that read; null takes as many as there are cores.
        steps: training steps that are tried to estimate time and memory; 0 tries none.
        report: the HTML file; null: ``check.html`` in the run's folder if ``--run`` names it, or else in ``runs``.

    Raises:
        ValueError: if a number is out of bounds.
    """

    sample: int | None = None
    all_masks: bool = False
    workers: int | None = None
    steps: int = 4
    report: str | None = None

    def __post_init__(self) -> None:
        """Checks the numbers."""
        for name, value, least in (
            ("sample", self.sample, 1),
            ("workers", self.workers, 0),
            ("steps", self.steps, 0),
        ):
            if value is not None and value < least:
                raise ValueError(f"check.{name} is {value}; it is at least {least}.")

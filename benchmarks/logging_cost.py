"""A run with all that it logs and shows, over the same run that writes nothing but checkpoints."""

import contextlib
import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lightning.pytorch import Callback

from benchmarks.comparison import Comparison
from lightning_app.callbacks.graceful_stop import GracefulStop
from lightning_app.callbacks.last_checkpoint import LastCheckpoint
from lightning_app.command_line import CommandLine, run
from lightning_app.displays.displays import Displays

ROOT = Path(__file__).resolve().parents[1]
TARGET = 1.02
CASES: dict[str, tuple[str, ...]] = {
    "files": (),
    "files and W&B offline": (
        "--config",
        f"{ROOT / 'configs/logger/wandb.yaml'}",
        "--trainer.logger.init_args.offline",
        "true",
    ),
}


class Silent(CommandLine):
    """The command line without what looks at a run."""

    def _own_callbacks(self, displays: Displays) -> list[Callback]:
        needed = LastCheckpoint | GracefulStop
        return [callback for callback in super()._own_callbacks(displays) if isinstance(callback, needed)]


def logging_cost(
    pairs: int, steps: int = 160, sizes: Sequence[str] = (), cases: Sequence[str] = tuple(CASES)
) -> Iterator[Comparison]:
    """Compares whole fits of ``ClassMix`` on generated streets, with two validations of 40 images a domain.

    Args:
        pairs: runs of each; what the first one imports falls out of the median.
        steps: training steps of each run.
        sizes: further options of ``lightning fit``.
        cases: where it logs, of ``CASES``.

    Yields:
        The CPU time of a run by where it logs.
    """
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:

            def seconds(command_line: type[CommandLine], *logger: str, folder: str = folder) -> float:
                fit = ["fit", "--config", f"{ROOT / 'configs/example/streets.yaml'}", "--model.strategy", "ClassMix"]
                fit += ["--trainer.max_steps", f"{steps}", "--trainer.val_check_interval", f"{steps // 2}"]
                name = tempfile.mkdtemp(dir=folder)
                before = time.process_time()
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    run([*fit, *sizes, *logger, "--run", f"{name}/run"], command_line)
                return time.process_time() - before

            measured = [
                (seconds(CommandLine, *CASES[case]), seconds(Silent, "--trainer.logger", "false")) for _ in range(pairs)
            ]
        yield Comparison.of_pairs(case, "CPU s", measured, TARGET)

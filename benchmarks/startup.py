"""Time until the command line answers, over the time that its libraries take to import."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.comparison import Comparison

COMMANDS = {
    "lightning --help": ("-m", "lightning_app", "--help"),
    "lightning fit --help": ("-m", "lightning_app", "fit", "--help"),
}
IMPORT = ("-c", "import torch, lightning")
TARGET = 1.3


def startup(
    pairs: int, commands: Mapping[str, Sequence[str]] = COMMANDS, reference: Sequence[str] = IMPORT
) -> Iterator[Comparison]:
    """Compares whole Python processes, from start to exit.

    Args:
        pairs: runs of each that count; one more of each comes before, to have the files in memory.
        commands: arguments of Python, by what the table calls them.
        reference: arguments of Python.

    Yields:
        The wall time and the CPU time of each command.

    Raises:
        subprocess.CalledProcessError: if a process fails.
    """
    for case, command in commands.items():
        measured = [(_seconds(command), _seconds(reference)) for _ in range(1 + pairs)]
        for clock in ("wall", "CPU"):
            seconds = [(segue[clock], imports[clock]) for segue, imports in measured[1:]]
            yield Comparison.of_pairs(case, f"{clock} s", seconds, TARGET)


def _seconds(arguments: Sequence[str]) -> dict[str, float]:
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return {
        "wall": after.elapsed - before.elapsed,
        "CPU": after.children_user + after.children_system - before.children_user - before.children_system,
    }

"""The peak memory of a piece of work, where Linux tells it."""

from collections.abc import Callable
from pathlib import Path


def peak_growth_of(work: Callable[[], object]) -> float:
    """Returns by how many megabytes (2²⁰ bytes) the peak of this process grows while it works; Linux only.

    Args:
        work: what is measured; best in a new process, whose memory holds nothing else yet.
    """
    # The high-water mark of the imports must not hide that of the work.
    Path("/proc/self/clear_refs").write_text("5")
    before = _kilobytes("VmRSS")
    work()
    return (_kilobytes("VmHWM") - before) / 1024


def _kilobytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))

"""Numbers as reports write them."""

from lightning_app.check.estimate import Estimate

_BUSY = 1.5


def percent(share: float) -> str:
    """Writes a share with as many digits as it needs: 31 %, 2.4 %, 0.08 %."""
    value = 100 * share
    if value == 0:
        return "0 %"
    if value < 0.01:
        return "< 0.01 %"
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %" if value >= 1 else f"{value:.2g} %"


def counted(number: int, noun: str) -> str:
    """Writes a number of things: 1 image, 2,000 images."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(count: float) -> str:
    """Writes a number of bytes."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def duration(seconds: float) -> str:
    """Writes a time with two units at most: 0.8 s, 4 min 10 s, 7 h 20 min, 2 d 3 h."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 600:
        return f"{seconds // 60} min {seconds % 60} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def ratio(target: float, source: float) -> str:
    """Writes how many times as large one share is as the other."""
    if not source and not target:
        return "–"
    if not source:
        return "only target"
    if not target:
        return "only source"
    times = target / source
    return f"× {times:.1f}" if times >= 0.1 else f"× {times:.2g}"


def estimate_rows(estimate: Estimate) -> list[tuple[str, str]]:
    """Writes an estimate line by line."""
    rows = [
        ("whole run", f"about {duration(estimate.total)}"),
        ("an optimizer step", f"{duration(estimate.step)}, over {counted(estimate.measured_steps, 'step')}"),
        ("steps", f"{estimate.steps:,}"),
    ]
    if estimate.reading > estimate.computing:
        rows.append(
            (
                "waits for data",
                f"reading the crops of a step takes {duration(estimate.reading)}, computing "
                f"{duration(estimate.computing)}: more data.workers help if there are cores for them",
            )
        )
    if estimate.validations:
        images = counted(estimate.measured_images, "image")
        rows.append(
            (
                "validations",
                f"{estimate.validations} of {duration(estimate.validating)}, over {images}",
            )
        )
    if estimate.passes:
        images = counted(estimate.passed_images, "image")
        rows.append(
            (
                "passes over the target",
                f"{estimate.passes} of at most {duration(estimate.passing)}, over {images}",
            )
        )
    rows.append(("memory at most", f"{size(estimate.peak_memory)} of {size(estimate.memory)}"))
    rows.append(("measured on", estimate.device))
    if estimate.load > _BUSY:
        rows.append(
            ("a busy machine", f"{estimate.load:.1f} processes wanted each core: without the others the run is faster")
        )
    return rows

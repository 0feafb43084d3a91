"""What a progress bar and a line of progress say."""

from datetime import timedelta

from lightning_app.callbacks.throughput import Throughput
from lightning_app.metrics import Scores


def progress_figures(
    throughput: Throughput, scores: dict[str, Scores], loss: float | None, step: int, steps: int
) -> dict[str, str]:
    """Returns what is shown of a fit beside the step, by name.

    Args:
        throughput: what measures the fit.
        scores: the scores of the last validation, by domain.
        loss: the loss of the step; None is not shown.
        step: optimizer steps done.
        steps: optimizer steps of the run.
    """
    left = throughput.seconds_left(step, steps)
    scored = next((domain for domain in ("target", "source") if domain in scores), None)
    return {
        **({} if loss is None else {"loss": f"{loss:.4f}"}),
        **({} if scored is None else {f"{scored} mIoU": f"{100 * scores[scored].miou:.1f} %"}),
        "images/s": f"{throughput.latest:.1f}",
        **({} if left is None else {"left": duration(left)}),
    }


def duration(seconds: float) -> str:
    """Returns a time as hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))

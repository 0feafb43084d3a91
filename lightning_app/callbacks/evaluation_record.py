"""What an evaluation found beyond its scores: by image, by pair of classes, by confidence; as files and figures."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from lightning_app.calibration import BINS
from lightning_app.displays.display import Display
from lightning_app.image_scores import ImageScore
from lightning_app.metrics import Scores
from lightning_app.segmenter import Segmenter
from lightning_app.writing import printable, try_to_write_csv

WORST = 10
"""Images that are listed."""
SECONDS = 60
"""Between the figures within a fit, at least: drawing them takes one."""


class EvaluationRecord(Callback):
    """Writes and shows, on rank 0, what the scores of every validation and test were made of.

    In ``folder`` appear, for ``fit`` (the last validation so far), ``validate`` or ``test``:

    - ``images_<stage>.csv``: one row an image with its mIoU, and intersection and union in pixels of each class;
    - ``confusion_<stage>.csv``: pixels by domain, true and predicted class;
    - ``calibration_<stage>.csv``: pixels, mean confidence and accuracy by domain and bin of confidence.

    Averages of networks go to ``images_validate_averaged.csv`` and so on. Confusion matrices, IoU by class, reliability
    and the target's worst images are shown of a validation or test alone, and in a fit at its end and at most once a
    minute before. ``lightning validate`` shows them as ``validate/…``, like its panel, and leaves those of the fit.

    Args:
        folder: the run's folder.
        displays: where figures and tables are shown.
    """

    def __init__(self, folder: Path, displays: Display) -> None:
        self.folder = folder
        self.displays = displays
        self._shown_at = 0.0
        self._waits = False
        """Whether the last validation was written and not shown."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the first minute."""
        self._shown_at = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Records a validation, within a fit or alone."""
        self._record(trainer, pl_module)
        alone = trainer.state.fn == "validate"
        if alone or time.monotonic() - self._shown_at >= SECONDS:
            self._show(trainer, pl_module, "validate" if alone else "val", last=alone)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Records a test."""
        self._record(trainer, pl_module)
        self._show(trainer, pl_module, "test", last=True)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows the last validation."""
        self._show(trainer, pl_module, "val", last=True)

    @rank_zero_only
    def _record(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Segmenter)
        scores, classes = pl_module.scores, pl_module.classes
        if not scores or getattr(trainer, "fast_dev_run", False):
            return
        self._waits = True
        try_to_write_csv(
            self._path("images", trainer, pl_module),
            ["domain", "part", "name", "miou", *(f"{kind}/{c}" for kind in ("intersection", "union") for c in classes)],
            ([s.domain, s.part, s.name, s.miou, *s.intersection, *s.union] for s in pl_module.image_scores),
        )
        try_to_write_csv(
            self._path("confusion", trainer, pl_module),
            ["domain", "truth", "prediction", "pixels"],
            (
                [place, truth, prediction, pixels]
                for place, one in scores.items()
                for truth, row in zip(classes, one.confusion, strict=True)
                for prediction, pixels in zip(classes, row, strict=True)
            ),
        )
        try_to_write_csv(
            self._path("calibration", trainer, pl_module),
            ["domain", "low", "high", "pixels", "confidence", "accuracy"],
            ([place, *row] for place, one in scores.items() for row in _bins(one)),
        )

    @rank_zero_only
    def _show(self, trainer: Trainer, pl_module: LightningModule, prefix: str, last: bool) -> None:
        assert isinstance(pl_module, Segmenter)
        worst = _worst(pl_module)
        prefix += _suffix(pl_module)
        if self._waits:
            self._waits, self._shown_at = False, time.monotonic()
            step = trainer.global_step if trainer.state.fn == "fit" else pl_module.loaded_step
            self._show_figures(pl_module, prefix, step)
            if worst:
                columns = ["image", "part", "mIoU", "lowest class", "its IoU"]
                rows = [
                    (printable(one.name), printable(one.part), miou, *_lowest(one, pl_module.classes))
                    for one, miou in worst
                ]
                self.displays.table(f"{prefix}/target/worst_images", columns, rows, step)
        if last and worst and not getattr(trainer, "fast_dev_run", False):
            names = ", ".join(f"{printable(score.name)} ({100 * miou:.1f} %)" for score, miou in worst[:3])
            path = self._path("images", trainer, pl_module)
            Console().print(f"Worst target images by mIoU: {names}; all: {path}", soft_wrap=True, markup=False)

    def _show_figures(self, pl_module: Segmenter, prefix: str, step: int) -> None:
        # Matplotlib takes a while, and a run may draw nothing.
        from lightning_app.figures import confusion_figure, iou_figure, reliability_figure

        classes = pl_module.classes
        domains = {place: one for place, one in pl_module.scores.items() if "/" not in place}
        for domain, one in domains.items():
            self.displays.figure(f"{prefix}/{domain}/confusion", confusion_figure(domain, classes, one), step)
            self.displays.figure(f"{prefix}/{domain}/reliability", reliability_figure(domain, one), step)
        self.displays.figure(f"{prefix}/iou", iou_figure(classes, domains), step)

    def _path(self, what: str, trainer: Trainer, pl_module: Segmenter) -> Path:
        assert trainer.state.fn is not None
        return self.folder / f"{what}_{trainer.state.fn.value}{_suffix(pl_module)}.csv"


def _suffix(pl_module: Segmenter) -> str:
    """Keeps what an average of networks came to beside what the run itself reached."""
    return "_averaged" if pl_module.others else ""


def _bins(scores: Scores) -> Iterator[list[object]]:
    """Yields the bounds of each bin of confidence and what is in it; empty bins have no confidence and accuracy."""
    for index, (pixels, confidence, right) in enumerate(scores.calibration):
        means = [confidence / pixels, right / pixels] if pixels else [None, None]
        yield [index / BINS, (index + 1) / BINS, int(pixels), *means]


def _worst(pl_module: Segmenter) -> list[tuple[ImageScore, float]]:
    """Returns the target's images of the lowest mIoU, the lowest first."""
    scored = [(score, score.miou) for score in pl_module.image_scores if score.domain == "target"]
    return sorted(((score, miou) for score, miou in scored if miou is not None), key=lambda one: one[1])[:WORST]


def _lowest(score: ImageScore, classes: Sequence[str]) -> tuple[str, float]:
    """Returns the class of the lowest IoU in an image, and that."""
    return min(
        ((name, iou) for name, iou in zip(classes, score.iou, strict=True) if iou is not None), key=lambda one: one[1]
    )

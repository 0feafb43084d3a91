"""``lightning workspace``: the view of a W&B project in which runs are compared."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lightning_app.weights_and_biases import STEP

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Section, Workspace

CURVES = {
    "Scores": {
        "mIoU, target": r"val/target/miou",
        "mIoU, source": r"val/source/miou",
        "IoU by class, target": r"val/target/iou/.+",
        "IoU by class, source": r"val/source/iou/.+",
        "expected calibration error": r"val/(source|target)/ece",
        "target over source only": r"val/target/over_source_only",
    },
    "Scores that need no target labels": {
        "scores": r"val/target/unsupervised/.+",
    },
    "Training": {
        "losses": r"train/loss/.+",
        "learning rates": r"train/lr/.+",
        "discriminator accuracy": r"train/discriminator_accuracy/.+",
        "images a second": r"train/images_per_second",
        "memory in MiB": r"train/memory_mib",
    },
    "Pseudo-labels": {
        "on labelled target images": r"val/target/pseudo_labels/.+",
        "in training": r"train/pseudo_labels/[^/]+",
        "pixels with a label, by class": r"train/pseudo_labels/coverage/.+",
        "thresholds by class": r"train/pseudo_labels/threshold/.+",
    },
}
"""Section → title of a plot → pattern of its metrics. Names are the same for every method, so one view fits all."""
PICTURES = {
    "image, truth, prediction": ["val/panel"],
    "confidence": ["val/panel/confidence"],
    "confusion": ["val/source/confusion", "val/target/confusion"],
    "calibration": ["val/source/reliability", "val/target/reliability"],
    "IoU by class": ["val/iou"],
}
"""Title → names under which the pictures are logged."""
COLUMNS = (
    "run:displayName",
    "run:tags",
    "summary:val/target/miou.last",
    "summary:val/target/miou.max",
    "summary:val/source/miou.last",
    "config:seed_everything.value",
    "run:duration",
)


def workspace(entity: str, project: str, name: str) -> "Workspace":
    """Makes the view, and sends nothing.

    Args:
        entity: team or user.
        project: W&B's project.
        name: the view's name.

    Returns:
        Curves, pictures and, grouped by domain pair and strategy, the table of the runs, the best on the target first.
    """
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports.v2.interface import LinePlot, MediaBrowser, RunComparer

    def section(title: str, panels: list[Any]) -> "Section":
        return ws.Section(title, panels=panels, is_open=True)

    curves = [
        section(title, [LinePlot(title=plot, x=STEP, metric_regex=f"^{pattern}$") for plot, pattern in plots.items()])
        for title, plots in CURVES.items()
    ]
    pictures = [MediaBrowser(title=title, media_keys=names) for title, names in PICTURES.items()]
    return ws.Workspace(
        entity,
        project,
        name,
        sections=[
            curves[0],
            section("Pictures", pictures),
            *curves[1:],
            section("Settings that differ", [RunComparer(diff_only=True)]),
        ],
        settings=ws.WorkspaceSettings(x_axis=STEP),
        runset_settings=ws.RunsetSettings(
            groupby=[ws.Metric("Group"), ws.Tags()],
            order=[ws.Ordering(ws.Summary("val/target/miou.last"), ascending=False)],
            pinned_columns=list(COLUMNS),
        ),
    )


def main(args: Sequence[str]) -> None:
    """Makes the view in W&B, or writes to a file what would be sent.

    Args:
        args: the command's arguments.

    Raises:
        SystemExit: with 1 if the package, a key or the server is missing.
    """
    parser = argparse.ArgumentParser("lightning workspace", description=__doc__)
    parser.add_argument("--entity", required=True, help="W&B's team or user.")
    parser.add_argument("--project", default="segue", help="Default: segue.")
    parser.add_argument("--name", default="Segue", help="The view's name. Default: Segue.")
    parser.add_argument("--dry_run", type=Path, metavar="FILE", help="Write the view to a JSON file, and send nothing.")
    options = parser.parse_args(args)
    try:
        made = workspace(options.entity, options.project, options.name)
    except ImportError as error:
        _refuse(f"{error}: pip install segue[wandb].")
    if options.dry_run is not None:
        # The package's only way to what it sends.
        view = made._to_model()
        options.dry_run.write_text(view.model_dump_json(by_alias=True, exclude_none=True, indent=2), encoding="utf-8")
        print(f"View: {options.dry_run}")
        return
    import wandb

    try:
        if not wandb.login(prompt=False):
            _refuse("there is no API key of W&B: wandb login, or --dry_run FILE.")
        made.save()  # type: ignore[no-untyped-call]  # the package's own
        print(f"View: {made.url}")
    except Exception as error:  # of the network, of the server, of the rights: W&B names it
        _refuse(f"W&B took no view: {error}")


def _refuse(message: str) -> NoReturn:
    print(f"lightning: {message}", file=sys.stderr)
    raise SystemExit(1)

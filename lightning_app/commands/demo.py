"""``lightning demo``: the way of transfer on generated streets, with the same commands that a user would type."""

import argparse
import csv
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from datamodules import SyntheticStreets
from lightning_app.command_line import run
from lightning_app.pictures import class_colors, panel
from lightning_app.segmenter import Segmenter

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "example" / "streets.yaml"


def main(args: Sequence[str]) -> None:
    """Trains on the source, aligns without target labels, fine-tunes with all of them; ends with a table and a picture.

    Args:
        args: ``--folder`` and ``--steps``.

    Raises:
        FileNotFoundError: if Segue was installed without its configs.
    """
    parser = argparse.ArgumentParser("lightning demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/demo"), help="what it writes; made anew each time")
    parser.add_argument("--steps", type=int, default=120, help="training steps of each of the three runs")
    options = parser.parse_args(args)
    if not CONFIG.is_file():
        raise FileNotFoundError(f"the demo needs {CONFIG}: run it in a clone of the repository.")
    console, started, folder = Console(), time.monotonic(), options.folder
    source_only, aligned, fine_tuned = (folder / name for name in ("source_only", "aligned", "fine_tuned"))
    runs = {
        "source only": source_only,
        "aligned, no target labels": aligned,
        "fine-tuned, all target labels": fine_tuned,
    }
    for run_folder in runs.values():
        shutil.rmtree(run_folder, ignore_errors=True)

    def lightning(*words: str) -> None:
        console.rule(f"[bold]lightning {' '.join(words)}", align="left")
        run(words)

    last = "checkpoints/last.ckpt"
    config = CONFIG.relative_to(Path.cwd()) if CONFIG.is_relative_to(Path.cwd()) else CONFIG
    common = ("--config", str(config), f"--trainer.max_steps={options.steps}")
    align = ("--model.strategy", "AdversarialAlignment", "--model.strategy.level", "features")
    tune = ("--model.strategy", "FineTune", "--data.labels", "all", "--checkpoint.monitor", "val/target/miou")
    for more, run_folder in (
        ((), source_only),
        (align, aligned),
        ((*tune, "--model.init_from", f"{source_only / last}"), fine_tuned),
    ):
        lightning("fit", *common, *more, "--run", f"{run_folder}")
        lightning("test", *common, "--ckpt_path", f"{run_folder / last}")

    console.rule("[bold]what came out", align="left")
    _report(console, runs, folder)
    picture = _picture([run_folder / last for run_folder in runs.values()], folder)
    console.print(f"Table: {folder / 'table.csv'}\nPicture: {picture}", soft_wrap=True)
    console.print(f"Took {time.monotonic() - started:.0f} s.")


def _report(console: Console, runs: dict[str, Path], folder: Path) -> None:
    table = Table("", "source mIoU", "target mIoU", title="Test images of generated streets: simulator → day")
    rows = [["network", "source_miou", "target_miou"]]
    for name, run_folder in runs.items():
        with (run_folder / "test.csv").open(newline="") as file:
            miou = {row["domain"]: float(row["value"]) for row in csv.DictReader(file) if row["score"] == "mIoU"}
        table.add_row(name, *(f"{100 * miou[domain]:.1f} %" for domain in ("source", "target")))
        rows.append([name, f"{miou['source']:.4f}", f"{miou['target']:.4f}"])
    console.print(table)
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _picture(checkpoints: Sequence[Path], folder: Path) -> Path:
    target = SyntheticStreets(look="day")
    networks = [Segmenter.load(checkpoint) for checkpoint in checkpoints]
    rows = []
    for name in target.names("test")[:4]:
        image = target.read_image(name)
        rows.append([image, target.read_mask(name), *(network.predict(image) for network in networks)])
    classes = networks[0].classes
    path = folder / "demo.png"
    titles = ["target image", "truth", "source only", "aligned", "fine-tuned"]
    panel(rows, titles, classes, class_colors(classes)).save(path)
    return path

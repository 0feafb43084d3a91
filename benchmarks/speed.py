"""``make bench``: how fast Segue is, told as ratios to the same work done without it."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch

from benchmarks.class_index import class_index
from benchmarks.comparison import Comparison
from benchmarks.gpu import gpu_steps
from benchmarks.input_pipeline import CASES, input_pipeline
from benchmarks.listing import listing
from benchmarks.logging_cost import logging_cost
from benchmarks.passes import passes
from benchmarks.report import report
from benchmarks.startup import startup
from benchmarks.strategies import strategy_memory, strategy_steps
from benchmarks.training_step import training_step
from benchmarks.windows import windows

RESULTS = Path(__file__).resolve().parent / "results"
QUICK_RESULTS = Path("runs/speed")


@dataclass(frozen=True)
class Part:
    """One table.

    Attributes:
        title: what is measured beside what.
        measure: takes the number of pairs.
        quick: the same at a size that takes seconds.
    """

    title: str
    measure: Callable[[int], Iterator[Comparison]]
    quick: Callable[[int], Iterator[Comparison]]


PARTS = {
    "step": Part(
        "Training: lightning fit over a PyTorch loop by hand (U-Net, efficientnet-lite0)",
        lambda pairs: training_step(5 * pairs),  # they are short
        lambda pairs: training_step(pairs, steps=2, size=(32, 32), batch_size=2),
    ),
    "strategies": Part(
        "Strategies: a step of each over training on the source by hand (U-Net, efficientnet-lite0)",
        strategy_steps,
        lambda pairs: strategy_steps(pairs, steps=2, size=(32, 32), batch_size=2, chosen=["EntropyMinimization"]),
    ),
    "passes": Part(
        "Methods: a step over the passes that it needs, and over the reference's order of work (U-Net, resnet18)",
        passes,
        lambda pairs: passes(pairs, size=(64, 64), batch_size=2, chosen=["ClassMix"]),
    ),
    "logging": Part(
        "Logging: a run with its pictures, figures, tables and metrics over one that writes checkpoints alone",
        lambda pairs: logging_cost(min(pairs, 5)),  # each is a minute
        lambda pairs: logging_cost(
            pairs, 2, ["--trainer.limit_val_batches", "1", "--data.batch_size", "2"], cases=["files"]
        ),
    ),
    "memory": Part(
        "Strategies: peak of a step term by term over that of the summed loss (U-Net, resnet18)",
        lambda pairs: strategy_memory(min(pairs, 3)),  # each takes two new processes
        lambda pairs: strategy_memory(pairs, side=64, batch_size=2, chosen=["EntropyMinimization"]),
    ),
    "gpu": Part(
        "GPU: a step over its passes, over the reference's order of work, and over SourceOnly's, bf16",
        gpu_steps,
        lambda pairs: gpu_steps(pairs, side=64, batch_size=2),
    ),
    "input": Part(
        "Input: images per second and core over the same by hand with OpenCV and over torchvision.transforms.v2",
        input_pipeline,
        lambda pairs: input_pipeline(pairs, size=(96, 128), crop=(32, 32), images=2, batches=1, cases=CASES[:1]),
    ),
    "index": Part(
        "Rare classes: masks counted per second over masks only decoded",
        lambda pairs: class_index(min(pairs, 5)),  # each reads thousands of masks twice
        lambda pairs: class_index(pairs, size=(32, 64), drawn=2, times=32),
    ),
    "listing": Part(
        "Listing: FolderDomain.names over os.walk and a list of strings",
        listing,
        lambda pairs: listing(pairs, files=1000),
    ),
    "windows": Part(
        "Prediction: windows over the whole image at once (U-Net, efficientnet-lite0)",
        windows,
        lambda pairs: windows(pairs, sides=(128,), window=64),
    ),
    "startup": Part("Start: a whole process over python -c 'import torch, lightning'", startup, startup),
}


def main(args: Sequence[str] | None = None) -> None:
    """Measures what is asked for.

    Args:
        args: ``--only``, ``--repeats``, ``--quick`` and ``--folder``; the process's arguments if None.

    Raises:
        SystemExit: with 2 after a mistake in the arguments.
    """
    parser = argparse.ArgumentParser("python -m benchmarks.speed", description=__doc__)
    possible = [name for name in PARTS if name != "gpu" or torch.cuda.is_available()]
    parser.add_argument("--only", default=",".join(possible), help=f"parts, with commas: {','.join(PARTS)}")
    parser.add_argument("--repeats", type=int, default=10, help="pairs of a row, × 5 in step; default: 10")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that it runs; the numbers mean nothing"
    )
    parser.add_argument(
        "--folder", type=Path, help=f"of the CSV files; default: {RESULTS.name}, --quick: {QUICK_RESULTS}"
    )
    options = parser.parse_args(args)
    chosen = options.only.split(",")
    for name in chosen:
        if name not in PARTS:
            parser.error(f"there is no part '{name}'; the parts are {', '.join(PARTS)}.")
        if name not in possible:
            parser.error(f"the part '{name}' needs a GPU, and torch finds none.")
    if options.repeats < 1:
        parser.error(f"--repeats is {options.repeats}; it is at least 1.")

    # Other programs share the machine: with one thread the CPU time is the work, and not the waiting for each other.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    folder = options.folder or (QUICK_RESULTS if options.quick else RESULTS)
    for name in chosen:
        part = PARTS[name]
        measure = part.quick if options.quick else part.measure
        report(part.title, measure(options.repeats), folder / f"speed_{name}.csv")


if __name__ == "__main__":
    main()

"""What each strategy costs: the time of its step, and the peak memory of its terms one by one."""

import json
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch

from benchmarks.comparison import Comparison
from benchmarks.image_folder import write_image_folder
from benchmarks.memory import peak_growth_of
from benchmarks.training_step import TARGET, fit_in_turns
from datamodules import SyntheticStreets
from datamodules.batch import Batch
from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec
from strategies import AdversarialAlignment, EntropyMinimization, FineTune, Step, Strategy

CHOSEN: dict[str, tuple[str, ...]] = {
    "SourceOnly": ("--model.strategy=SourceOnly",),
    "FineTune": ("--model.strategy=FineTune", "--data.labels=all"),
    "PartialFreezing, decoder and head": ("--model.strategy=PartialFreezing", "--data.labels=all"),
    "EntropyMinimization": ("--model.strategy=EntropyMinimization",),
    **{
        f"AdversarialAlignment, {level}": (
            "--model.strategy=AdversarialAlignment",
            f"--model.strategy.level={level}",
        )
        for level in ("features", "output", "entropy")
    },
}
OF_TERMS: dict[str, Strategy] = {
    "FineTune, also_source": FineTune(also_source=True),
    "EntropyMinimization": EntropyMinimization(),
    **{
        f"AdversarialAlignment, {level}": AdversarialAlignment(level=level)
        for level in ("features", "output", "entropy")
    },
}
NETWORK = NetworkSpec("Unet", "resnet18", list(SyntheticStreets.classes or ()))


def strategy_steps(
    pairs: int,
    steps: int = 3,
    size: tuple[int, int] = (96, 128),
    batch_size: int = 8,
    chosen: Sequence[str] = tuple(CHOSEN),
) -> Iterator[Comparison]:
    """Compares the step of each strategy with a loop by hand that is SourceOnly's, and AdaptSegNet's with its own.

    Where a strategy reads no source, the loop reads the labelled target.

    Args:
        pairs: epochs that count, of the fit and by hand.
        steps: steps of an epoch.
        size: height and width of the images in pixels.
        batch_size: images of a batch.
        chosen: names of ``CHOSEN``.

    Yields:
        The CPU time of a step of each.
    """
    height, width = size
    # Last, because its reference is another one.
    adapted = "AdversarialAlignment, output"
    cases: list[tuple[str, tuple[str, ...], str, float | None]] = [
        *((name, CHOSEN[name], "source", None) for name in chosen),
        (f"{adapted}, over two optimizers", CHOSEN[adapted], "two_optimizers", TARGET),
    ]
    with TemporaryDirectory() as folder:
        # From files, so that almost all of the step is the network.
        files = Path(folder) / "files"
        write_image_folder(files, size, steps * batch_size, ".png")
        data = [
            f"--data.source={files}",
            f"--data.target={files}",
            f"--data.classes={json.dumps(list(SyntheticStreets.classes or ()))}",
            f"--data.crop=[{height}, {width}]",
            f"--data.batch_size={batch_size}",
        ]
        for place, (name, options, by_hand, target) in enumerate(cases):
            noted = fit_in_turns(Path(folder) / f"{place}.json", [*data, *options], pairs, steps, by_hand)
            milliseconds = [(1e3 * fit[1] / steps, 1e3 * hand[1] / steps) for fit, hand in noted]
            case = f"{name}, {batch_size} × {height} × {width}"
            yield Comparison.of_pairs(case, "CPU ms a step", milliseconds, target)


def strategy_memory(
    pairs: int, side: int = 256, batch_size: int = 8, chosen: Sequence[str] = tuple(OF_TERMS)
) -> Iterator[Comparison]:
    """Compares the peak memory of a step whose terms are back-propagated one by one with that of their sum.

    Args:
        pairs: pairs of new processes; a process's peak varies.
        side: side of the images in pixels.
        batch_size: images of a batch.
        chosen: names of ``OF_TERMS``.

    Yields:
        The peak of each strategy with more than one graph; nothing where the system does not tell it.
    """
    if sys.platform != "linux":
        return
    for name in chosen:
        peaks = []
        for _ in range(pairs):
            start_afresh = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, start_afresh, max_tasks_per_child=1) as executor:
                both = [executor.submit(step_peak, name, summed, side, batch_size) for summed in (False, True)]
                peaks.append((both[0].result(), both[1].result()))
        yield Comparison.of_pairs(f"{name}, {batch_size} × {side}²", "peak MB", peaks)


def step_peak(name: str, summed: bool, side: int, batch_size: int) -> float:
    """Returns by how many megabytes the peak of this process grows in a step's terms and their backward.

    Args:
        name: one of ``OF_TERMS``.
        summed: whether the terms are added up and back-propagated at once.
        side: side of the images in pixels.
        batch_size: images of a batch.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, strategy = SegmentationNetwork(NETWORK), OF_TERMS[name]
    strategy.build(network, NETWORK.classes)
    # Gradients are there before the step.
    back_propagate(strategy, network, needed(strategy, empty_batch(64, 2)), summed)
    batch = needed(strategy, empty_batch(side, batch_size))
    return peak_growth_of(lambda: back_propagate(strategy, network, batch, summed))


def back_propagate(strategy: Strategy, network: SegmentationNetwork, batch: Batch, summed: bool) -> None:
    """Computes the gradients of a step, as ``lightning fit`` does or by the sum of the terms.

    Args:
        strategy: a built strategy.
        network: its network.
        batch: the streams that it wants.
        summed: whether the terms are added up and back-propagated at once.
    """
    kept = []
    for named in strategy.losses(network, batch, Step(0, 1)):
        total = torch.stack(list(named.values())).sum()
        if summed:
            kept.append(total)
        else:
            torch.autograd.backward(total)
    if summed:
        torch.autograd.backward(torch.stack(kept).sum())


def empty_batch(side: int, batch_size: int) -> Batch:
    """Makes all streams of a step out of noise and one class.

    Args:
        side: side of the images in pixels.
        batch_size: images of each stream.
    """
    image = torch.rand(batch_size, 3, side, side)
    mask = torch.zeros(batch_size, side, side, dtype=torch.int64)
    return {
        "source": {"image": image, "mask": mask, "name": []},
        "labelled_target": {"image": image, "mask": mask, "name": []},
        "target": {"image": image, "name": []},
    }


def needed(strategy: Strategy, batch: Batch) -> Batch:
    """Returns the streams that a strategy requires, without the optional ones."""
    return cast(Batch, {stream: images for stream, images in batch.items() if stream in strategy.required_streams})

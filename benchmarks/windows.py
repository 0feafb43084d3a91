"""Prediction by windows over prediction of the whole image at once."""

import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch

from benchmarks.comparison import Comparison
from benchmarks.memory import peak_growth_of
from datamodules.domain import ImageArray
from lightning_app.inference import Windows, predict_mask
from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec

CLASSES = 11
MOST_PROCESSES = 5
"""Pairs of processes that are started to measure the memory, which no other program disturbs."""
NETWORK = NetworkSpec(
    "Unet",
    "tu-tf_efficientnet_lite0",
    [f"class {number}" for number in range(CLASSES)],
    options={"decoder_channels": [64, 48, 32, 24, 16]},
)


def windows(pairs: int, sides: Sequence[int] = (1024, 2048), window: int = 512) -> Iterator[Comparison]:
    """Compares the time and the memory of both for square images.

    Windows overlap by a quarter and pass the network in fours, as by default. Memory is the growth of the peak of a
    fresh process while it predicts one image; the network and the image lie in memory before.

    Args:
        pairs: images predicted in each way; the memory is measured at most five times.
        sides: sides of the images in pixels.
        window: side of a window in pixels.

    Yields:
        For each side the CPU time and, where Linux tells the peak of a process, the memory.
    """
    cut = Windows(window)
    for side in sides:
        case = f"{side}², windows of {window}², {CLASSES} classes"
        network, image = _network(), _image(side)
        seconds = [(_cpu_seconds(network, image, cut), _cpu_seconds(network, image, None)) for _ in range(pairs)]
        yield Comparison.of_pairs(case, "CPU s", seconds)
        if sys.platform == "linux":
            peaks = [_peaks_of_new_processes(side, cut) for _ in range(min(pairs, MOST_PROCESSES))]
            yield Comparison.of_pairs(case, "peak MB", peaks)


def peak_growth(side: int, cut: Windows | None, threads: int) -> float:
    """Returns by how many megabytes (2²⁰ bytes) the peak of this process grows while it predicts; Linux only.

    Args:
        side: side of the image in pixels.
        cut: the windows; None predicts the whole image.
        threads: threads of torch.
    """
    torch.set_num_threads(threads)
    network, image = _network(), _image(side)
    predict_mask(network, _image(32), None, "cpu")
    return peak_growth_of(lambda: predict_mask(network, image, cut, "cpu"))


def _network() -> SegmentationNetwork:
    torch.manual_seed(0)
    return SegmentationNetwork(NETWORK).eval()


def _image(side: int) -> ImageArray:
    return np.random.default_rng(0).integers(256, size=(side, side, 3), dtype=np.uint8)


def _cpu_seconds(network: SegmentationNetwork, image: ImageArray, cut: Windows | None) -> float:
    started = time.process_time()
    predict_mask(network, image, cut, "cpu")
    return time.process_time() - started


def _peaks_of_new_processes(side: int, cut: Windows) -> tuple[float, float]:
    start_afresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, start_afresh, max_tasks_per_child=1) as executor:
        peaks = [executor.submit(peak_growth, side, each, torch.get_num_threads()) for each in (cut, None)]
        return peaks[0].result(), peaks[1].result()

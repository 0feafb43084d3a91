"""Throughput and memory of the methods on a GPU, at the sizes of the field."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial

import torch

from benchmarks.comparison import Comparison
from benchmarks.passes import CASES, COUNTED_TARGET, REFERENCE_TARGET, random_batch, step_of, strategy_step
from benchmarks.reference_steps import ReferenceStep
from benchmarks.strategies import OF_TERMS, needed
from datamodules.batch import Batch
from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec
from strategies import ClassMix, DAFormer, FineTune, MaskedConsistency, PartialFreezing, SourceOnly, Strategy

CLASSES = ["road", "car", *(f"class {number}" for number in range(17))]
NETWORKS = {
    "SegFormer / mit_b2": NetworkSpec("Segformer", "mit_b2", CLASSES),
    "DeepLabV3+ / resnet50": NetworkSpec("DeepLabV3Plus", "resnet50", CLASSES),
}
STRATEGIES: dict[str, Strategy] = {
    "FineTune": FineTune(),
    "PartialFreezing, decoder and head": PartialFreezing(),
    **OF_TERMS,
    "ClassMix": ClassMix(),
    "DAFormer": DAFormer(),
    "MaskedConsistency(ClassMix)": MaskedConsistency(block=32),
}
METHODS = [name for name, case in CASES.items() if case.reference is not None]


def gpu_steps(
    pairs: int,
    side: int = 512,
    batch_size: int = 8,
    networks: Mapping[str, NetworkSpec] = NETWORKS,
    device: str = "cuda",
    steps: int = 5,
    compiled: Sequence[bool] = (False, True),
) -> Iterator[Comparison]:
    """Compares steps in bf16 on images that lie on the device.

    Args:
        pairs: measurements of each, in turns.
        side: side of the images in pixels.
        batch_size: images of a batch, in each stream.
        networks: by name.
        device: where; memory is told on a GPU alone.
        steps: steps of a measurement.
        compiled: whether encoder and decoder are compiled by ``torch.compile``; one after the other.

    Yields:
        Rows of milliseconds a step and of the peak of the allocated memory: the methods with a reference over the
        passes that they need and over the reference's order of work, for each network and way; then all strategies
        over SourceOnly, where nothing is compiled, with the images a second, in which source and target count.
    """
    for network_name, spec in networks.items():
        batch = random_batch((side, side), batch_size, len(spec.classes), device)
        for way in compiled:
            torch.compiler.reset()  # there is a limit to how many networks it keeps
            shape = f"{network_name}{', compiled' if way else ''}, {batch_size} × {side}²"
            for name in METHODS:
                ours = Timed(spec, batch, way, partial(step_of, name))
                for how, target in (("passes", COUNTED_TARGET), ("reference", REFERENCE_TARGET)):
                    theirs = Timed(spec, batch, way, partial(step_of, name, how=how))
                    case = f"{name} over its {how}, {shape}"
                    yield Comparison.of_pairs(case, "ms a step", _in_turns(ours, theirs, steps, pairs), target)
                    if device == "cuda":
                        yield Comparison.of_pairs(case, "peak GB", [(ours.peak, theirs.peak)], target)
    for network_name, spec in networks.items():
        batch = random_batch((side, side), batch_size, len(spec.classes), device)
        alone = Timed(spec, batch, False, partial(strategy_step, SourceOnly()))
        for name, strategy in STRATEGIES.items():
            ours = Timed(spec, batch, False, partial(strategy_step, deepcopy(strategy)))
            case = f"{name} over SourceOnly, {network_name}, {batch_size} × {side}²"
            images = len(needed(strategy, batch)) * batch_size
            rates = [
                (1e3 * images / own, 1e3 * batch_size / others) for own, others in _in_turns(ours, alone, steps, pairs)
            ]
            yield Comparison.of_pairs(case, "images a second", rates)
            if device == "cuda":
                yield Comparison.of_pairs(case, "peak GB", [(ours.peak, alone.peak)])


class Timed:
    """Steps of one kind on one network.

    Args:
        spec: the network.
        batch: what each step reads.
        compiled: whether encoder and decoder are compiled.
        make_step: makes the step, on the network.

    Attributes:
        peak: growth of the device's allocated memory by network, optimizer and a step, in gigabytes (2³⁰ bytes).
    """

    def __init__(
        self,
        spec: NetworkSpec,
        batch: Batch,
        compiled: bool,
        make_step: Callable[[SegmentationNetwork], ReferenceStep],
    ) -> None:
        self._device = batch["source"]["image"].device
        self._batch = batch
        cuda = self._device.type == "cuda"
        before = 0
        if cuda:
            gc.collect()  # a compiled network is in a cycle: one that was freed below would be missing from the peak
            before = torch.cuda.memory_allocated()
        torch.manual_seed(0)
        network = SegmentationNetwork(spec).to(self._device).train()
        self._step = make_step(network)
        if compiled:
            network.encoder.compile()
            network.decoder.compile()
        self.milliseconds(1)  # kernels are chosen and compiled
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        self.milliseconds(1)  # the optimizer has its state
        self.peak = (torch.cuda.max_memory_allocated() - before) / 2**30 if cuda else 0.0

    def milliseconds(self, steps: int) -> float:
        """Returns how long a step takes, on average over so many."""
        self._synchronize()
        started = time.perf_counter()
        for index in range(steps):
            with torch.autocast(self._device.type, torch.bfloat16):
                self._step(self._batch, index)
        self._synchronize()
        return 1e3 * (time.perf_counter() - started) / steps

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def _in_turns(ours: Timed, theirs: Timed, steps: int, pairs: int) -> list[tuple[float, float]]:
    # The first measurement is thrown away: it warms up what only shows under load.
    return [(ours.milliseconds(steps), theirs.milliseconds(steps)) for _ in range(pairs + 1)][1:]

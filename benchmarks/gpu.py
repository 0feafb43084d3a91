"""Throughput and memory of each strategy on a GPU, at the sizes of the field."""

import time
from collections.abc import Iterator, Mapping
from copy import deepcopy

import torch

from benchmarks.comparison import Comparison
from benchmarks.strategies import OF_TERMS, back_propagate, empty_batch, needed
from datamodules.batch import Batch
from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec
from strategies import ClassMix, DAFormer, FineTune, MaskedConsistency, PartialFreezing, SourceOnly, Step, Strategy

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


def gpu_steps(
    pairs: int,
    side: int = 512,
    batch_size: int = 8,
    networks: Mapping[str, NetworkSpec] = NETWORKS,
    device: str = "cuda",
    steps: int = 10,
) -> Iterator[Comparison]:
    """Compares the step of each strategy with that of SourceOnly, in bf16, on images that lie on the device.

    Args:
        pairs: measurements of each, in turns.
        side: side of the images in pixels.
        batch_size: images of a batch, in each stream.
        networks: by name.
        device: where; memory is told on a GPU alone.
        steps: steps of a measurement.

    Yields:
        Images a second, in which source and target count, and the peak of the allocated memory.
    """
    batch = empty_batch(side, batch_size, device)
    for network_name, spec in networks.items():
        for compiled in (False, True) if device == "cuda" else (False,):
            alone = Trained(spec, SourceOnly(), batch, compiled)
            for name, strategy in STRATEGIES.items():
                trained = Trained(spec, deepcopy(strategy), batch, compiled)
                # The first measurement is thrown away: kernels are chosen in it.
                rates = [(trained.images_a_second(steps), alone.images_a_second(steps)) for _ in range(pairs + 1)][1:]
                case = f"{network_name}{', compiled' if compiled else ''}, {name}, {batch_size} × {side}²"
                yield Comparison.of_pairs(case, "images a second", rates)
                if device == "cuda":
                    yield Comparison.of_pairs(case, "peak GB", [(trained.peak, alone.peak)])
                del trained


class Trained:
    """A network in training under a strategy.

    Args:
        spec: the network.
        strategy: the strategy, not built yet.
        batch: what each step reads.
        compiled: whether encoder and decoder are compiled.

    Attributes:
        peak: growth of the device's allocated memory by network, optimizer and a step, in gigabytes (2³⁰ bytes).
    """

    def __init__(self, spec: NetworkSpec, strategy: Strategy, batch: Batch, compiled: bool) -> None:
        self._device = batch["source"]["image"].device
        cuda = self._device.type == "cuda"
        before = torch.cuda.memory_allocated() if cuda else 0
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        torch.manual_seed(0)
        self._network = SegmentationNetwork(spec).to(self._device)
        if strategy.wants_pretrained:
            strategy.keep_pretrained(self._network)
        strategy.build(self._network, spec.classes)
        if compiled:
            self._network.encoder.compile()
            self._network.decoder.compile()
        self._strategy = strategy.to(self._device)
        strategy.train_mode(self._network, Step(1, 2))
        self._batch = needed(strategy, batch)
        self._images = len(self._batch) * len(batch["source"]["image"])
        trained = [*self._network.parameters(), *self._strategy.parameters()]
        self._optimizer = torch.optim.AdamW([one for one in trained if one.requires_grad], lr=1e-4)
        for _ in range(2):  # the second has the optimizer's state
            self._step()
        self.peak = (torch.cuda.max_memory_allocated() - before) / 2**30 if cuda else 0.0

    def images_a_second(self, steps: int) -> float:
        """Returns how many images of all streams so many steps take in a second."""
        self._synchronize()
        started = time.perf_counter()
        for _ in range(steps):
            self._step()
        self._synchronize()
        return steps * self._images / (time.perf_counter() - started)

    def _step(self) -> None:
        self._optimizer.zero_grad()
        with torch.autocast(self._device.type, torch.bfloat16):
            back_propagate(self._strategy, self._network, self._batch, summed=False)
        self._optimizer.step()
        self._strategy.after_step(self._network, Step(1, 2))

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()

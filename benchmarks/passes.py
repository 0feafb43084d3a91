"""What a step of each method takes beside the passes through the network that it needs, and beside its reference."""

import copy
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch
from torch.nn import functional
from torch.optim import AdamW

from benchmarks.comparison import Comparison
from benchmarks.memory import peak_growth_of
from benchmarks.reference_steps import ReferenceStep, dacs, fda
from benchmarks.strategies import NETWORK, back_propagate, needed
from datamodules.batch import Batch
from lightning_app.network import SegmentationNetwork
from strategies import (
    AdaptiveBatchNorm,
    ClassMix,
    DAFormer,
    EntropyMinimization,
    FourierStyle,
    MaskedConsistency,
    MeanTeacher,
    MomentAlignment,
    SelfTraining,
    Step,
    Strategy,
)

COUNTED_TARGET = 1.10
REFERENCE_TARGET = 1.00
WARM_UP = 2


@dataclass(frozen=True)
class Passes:
    """The passes of a step through the network.

    Attributes:
        trained: forward and backward, on a whole batch.
        forward: forward alone; a third of one that is trained.
        encoder: forward through the encoder alone.
    """

    trained: int
    forward: int = 0
    encoder: int = 0


@dataclass(frozen=True)
class Case:
    """A method.

    Attributes:
        make: makes the strategy.
        passes: what it needs.
        reference: makes the same step in the reference's order of work, where there is one here.
    """

    make: Callable[[], Strategy]
    passes: Passes
    reference: Callable[[SegmentationNetwork, AdamW], ReferenceStep] | None = None


CASES = {
    "EntropyMinimization": Case(EntropyMinimization, Passes(2)),
    "MomentAlignment, coral": Case(MomentAlignment, Passes(2)),
    "AdaptiveBatchNorm, along": Case(lambda: AdaptiveBatchNorm(statistics="along"), Passes(1, 1)),
    "FourierStyle": Case(FourierStyle, Passes(2), fda),
    "SelfTraining": Case(SelfTraining, Passes(2, 1)),
    "MeanTeacher": Case(MeanTeacher, Passes(2, 1)),
    "ClassMix": Case(ClassMix, Passes(2, 1), dacs),
    "DAFormer": Case(DAFormer, Passes(2, 1, encoder=1)),
    "MaskedConsistency(ClassMix)": Case(
        MaskedConsistency, Passes(3, 1), lambda network, optimizer: dacs(network, optimizer, masked=True)
    ),
}


def passes(
    pairs: int, size: tuple[int, int] = (96, 128), batch_size: int = 8, chosen: Sequence[str] = tuple(CASES)
) -> Iterator[Comparison]:
    """Compares the CPU time of a step with that of its passes alone, and with the reference's step.

    Args:
        pairs: steps of each that count.
        size: height and width of the images in pixels.
        batch_size: images of each stream.
        chosen: names of ``CASES``.

    Yields:
        A row a method over its passes; one over its reference, and one of the peaks of memory, where there is one.
    """
    for name in chosen:
        case, shape = CASES[name], f"{batch_size} × {size[0]} × {size[1]}"
        about = ", ".join(f"{count} {what}" for what, count in vars(case.passes).items() if count)
        measured = _in_turns(
            step_of(name, _network()), step_of(name, _network(), "passes"), random_batch(size, batch_size), pairs
        )
        yield Comparison.of_pairs(f"{name} over its passes ({about}), {shape}", "CPU ms", measured, COUNTED_TARGET)
        if case.reference is None:
            continue
        measured = _in_turns(
            step_of(name, _network()), step_of(name, _network(), "reference"), random_batch(size, batch_size), pairs
        )
        yield Comparison.of_pairs(f"{name} over its reference, {shape}", "CPU ms", measured, REFERENCE_TARGET)
        if sys.platform == "linux":
            peaks = []
            for _ in range(min(pairs, 3)):  # each takes two new processes
                start_afresh = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(1, start_afresh, max_tasks_per_child=1) as executor:
                    both = [executor.submit(step_peak, name, how, size, batch_size) for how in ("", "reference")]
                    peaks.append((both[0].result(), both[1].result()))
            yield Comparison.of_pairs(f"{name} over its reference, {shape}", "peak MB", peaks, REFERENCE_TARGET)


def step_peak(name: str, how: str, size: tuple[int, int], batch_size: int) -> float:
    """Returns by how many megabytes the peak of this process grows in a step.

    Args:
        name: one of ``CASES``.
        how: what does the step: the strategy (empty), ``passes`` or ``reference``.
        size: height and width of the images in pixels.
        batch_size: images of each stream.
    """
    torch.set_num_threads(1)
    step = step_of(name, _network(), how)
    step(random_batch((64, 64), 2), 0)  # gradients and moments are there before
    batch = random_batch(size, batch_size)
    return peak_growth_of(lambda: step(batch, 1))


def random_batch(
    size: tuple[int, int], batch_size: int, classes: int = len(NETWORK.classes), device: str = "cpu"
) -> Batch:
    """Makes all streams of a step out of noise and of masks with several classes.

    Args:
        size: height and width of the images in pixels.
        batch_size: images of each stream.
        classes: number of classes.
        device: where.
    """
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.rand(batch_size, 3, *size, generator=generator).to(device) for _ in range(2))
    coarse = torch.randint(classes, (batch_size, 1, 4, 4), generator=generator)
    mask = functional.interpolate(coarse.float(), size, mode="nearest")[:, 0].long().to(device)
    return {
        "source": {"image": source, "mask": mask, "name": []},
        "labelled_target": {"image": target, "mask": mask, "name": []},
        "target": {"image": target, "name": []},
    }


def _network() -> SegmentationNetwork:
    torch.manual_seed(0)
    return SegmentationNetwork(NETWORK).train()


def step_of(name: str, network: SegmentationNetwork, how: str = "") -> ReferenceStep:
    """Makes one of the steps that are compared, with an optimizer of its own.

    Args:
        name: one of ``CASES``.
        network: what is trained, on the device of the batches.
        how: what does the step: the strategy (empty), ``passes`` or ``reference``.
    """
    case = CASES[name]
    if not how:
        return strategy_step(case.make(), network)
    optimizer = AdamW(network.parameters(), lr=1e-5)
    if how == "passes":
        return _passes(network, optimizer, case.passes)
    assert case.reference is not None, "asked for where there is one"
    return case.reference(network, optimizer)


def strategy_step(strategy: Strategy, network: SegmentationNetwork) -> ReferenceStep:
    """Makes the step of a strategy that is not built yet, with an optimizer of what trains under it."""
    if strategy.wants_pretrained:
        strategy.keep_pretrained(network)
    strategy.build(network, network.spec.classes)
    strategy.to(next(network.parameters()).device).train()
    trained = [*network.parameters(), *strategy.parameters()]
    optimizer = AdamW([one for one in trained if one.requires_grad], lr=1e-5)

    def step(batch: Batch, index: int) -> None:
        at = Step(index, 1000)
        optimizer.zero_grad()
        strategy.train_mode(network, at)
        back_propagate(strategy, network, needed(strategy, batch), summed=False)
        optimizer.step()
        strategy.after_step(network, at)

    return step


def _passes(network: SegmentationNetwork, optimizer: AdamW, counted: Passes) -> ReferenceStep:
    # A copy that no pass needs would count in the memory.
    frozen = copy.deepcopy(network) if counted.forward or counted.encoder else network

    def step(batch: Batch, index: int) -> None:
        image, mask = batch["source"]["image"], batch["source"]["mask"]
        optimizer.zero_grad()
        for _ in range(counted.trained):
            torch.autograd.backward(functional.cross_entropy(network(image), mask))
        with torch.no_grad():
            for _ in range(counted.forward):
                frozen(image)
            for _ in range(counted.encoder):
                frozen.features(image)
        optimizer.step()

    return step


def _in_turns(ours: ReferenceStep, theirs: ReferenceStep, batch: Batch, pairs: int) -> list[tuple[float, float]]:
    noted = []
    for index in range(WARM_UP + pairs):
        pair = []
        for step in (ours, theirs):
            started = time.process_time()
            step(batch, index)
            pair.append(1e3 * (time.process_time() - started))
        noted.append((pair[0], pair[1]))
    return noted[WARM_UP:]

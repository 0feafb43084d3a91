"""What the numbers speak for, by the rules of docs/gap.md."""

from lightning_app.gap.measure import Measure
from lightning_app.gap.result import GapResult
from lightning_app.gap.wording import number, times

SPECTRUM = 0.5
"""In nats: the amplitudes differ by a factor of 1.6."""
STATISTICS = 0.2
"""In nats a channel: such as means 0.63 standard deviations apart."""
LABELS = 0.02
"""In bits: such as a class with 50 % of the pixels here and 67 % there."""
APART = 1.0
"""A classifier tells three of four pixels apart."""


def advice(result: GapResult, before: GapResult | None = None) -> str:
    """Returns one paragraph; each of its sentences names the number that it follows from.

    Args:
        result: what was measured.
        before: the same through the network of before an adaptation.
    """
    spectrum, statistics = result.find("spectrum"), result.find("BatchNorm statistics")
    # Plain predictions and not BBSE, whose assumption a domain gap breaks; true labels where they may be read.
    labels = result.find("labels", "true") or result.find("labels", "predicted")
    apart = result.find("proxy A-distance")
    sentences = []
    if spectrum is not None and _is_high(spectrum, SPECTRUM):
        sentences.append(f"The low frequencies differ ({_said(spectrum, 'nats')}): try FourierStyle.")
    if statistics is not None and _is_high(statistics, STATISTICS):
        sentences.append(
            f"BatchNorm layers are given other statistics ({_said(statistics, 'nats a channel')}): try "
            "AdaptiveBatchNorm."
        )
    if labels is not None and _is_high(labels, LABELS):
        whose = "by their masks" if labels.place == "true" else "by the network's predictions"
        sentences.append(
            f"The classes have other shares, {whose} ({_said(labels, 'bits')}): try SelfTraining, whose thresholds are "
            "balanced by class."
        )
    if not sentences and apart is not None and _is_high(apart, APART):
        explained = {"spectrum": spectrum, "BatchNorm statistics": statistics, "labels": labels}
        low = " and ".join(f"{name} {times(one)}" for name, one in explained.items() if one is not None)
        sentences.append(
            f"Features of {apart.place} tell the domains apart (proxy A-distance {_said(apart)}), which no other "
            f"number explains (too low by ratio or size: {low}): try a method that learns from target images, such as "
            "ClassMix."
        )
    if not sentences:
        found = [one for one in result.measures if one.gap > 0] or result.measures
        largest = max(found, key=lambda one: float("inf") if one.ratio is None else one.ratio)
        if largest.is_high:
            sentences.append(
                f"The domains differ by more than chance ({largest.name}, {largest.place}: {times(largest)} the spread "
                "inside the source), but by no number that reaches a rule's threshold: train on the source alone first."
            )
        else:
            sentences.append(
                f"No distance reaches twice the spread inside the source (the largest is {largest.name}, "
                f"{largest.place}: {times(largest)}): plain training on the source is enough."
            )
    if before is not None:
        sentences += _change(result, before)
    return " ".join(sentences)


def _change(result: GapResult, before: GapResult) -> list[str]:
    changes, found = [], set()
    for name in ("proxy A-distance", "MMD²"):
        now, then = result.find(name), before.find(name)
        if now is not None and then is not None:
            changes.append(f"{name} from {number(then.gap)} to {number(now.gap)}")
            found.add(_direction(now, then))
    if not changes:
        return []
    how = {
        frozenset({"closer"}): "closer",
        frozenset({"closer", "same"}): "partly closer",
        frozenset({"same"}): "as far apart as before",
        frozenset({"farther", "same"}): "partly farther apart",
        frozenset({"farther"}): "farther apart",
    }.get(frozenset(found), "closer by one distance and farther apart by the other")
    return [f"Through the later network's deepest features the domains are {how}: {', '.join(changes)}."]


def _direction(now: Measure, then: Measure) -> str:
    # What two halves of the source differ by is no change.
    if abs(now.gap - then.gap) <= max(now.floor, then.floor):
        return "same"
    return "closer" if now.gap < then.gap else "farther"


def _is_high(measure: Measure, least: float) -> bool:
    return measure.is_high and measure.gap >= least


def _said(measure: Measure, unit: str = "") -> str:
    value = f"{number(measure.gap)} {unit}".strip()
    if measure.ratio is None:
        return f"{value}, where the source has no spread"
    return f"{value}, {times(measure)} the spread inside the source"

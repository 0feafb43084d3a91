"""The outcome of a measurement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lightning_app.gap.class_gap import ClassGap
from lightning_app.gap.measure import Measure


@dataclass
class GapResult:
    """How far apart source and target are, as one network sees them.

    Attributes:
        network: what looked.
        images: images of source and target that were read.
        compared: images of each side of a comparison.
        measures: the distances, image space first.
        classes: the distances class by class.
        class_place: where these were taken, and by which labels.
        layers: the divergence of each BatchNorm layer, a channel.
        histograms: shares of the classes, by where they are from.
        missing: what was left out and why, in sentences.
    """

    network: str
    images: tuple[int, int]
    compared: int
    measures: list[Measure]
    classes: list[ClassGap] = field(default_factory=list)
    class_place: str = ""
    layers: Mapping[str, float] = field(default_factory=dict)
    histograms: Mapping[str, Sequence[float]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def find(self, name: str, place: str | None = None) -> Measure | None:
        """Returns a measure, the last of that name if no place is given; None if it was left out."""
        found = [one for one in self.measures if one.name == name and place in (None, one.place)]
        return found[-1] if found else None

    def plain(self) -> dict[str, Any]:
        """Returns all of it as plain values, for JSON."""
        return {
            "network": self.network,
            "images": {"source": self.images[0], "target": self.images[1], "compared": self.compared},
            "measures": [{"name": one.name, "place": one.place, **_numbers(one)} for one in self.measures],
            "classes": [
                {
                    "name": one.name,
                    "pixels": {"source": one.pixels[0], "target": one.pixels[1]},
                    **({} if one.measure is None else _numbers(one.measure)),
                }
                for one in self.classes
            ],
            "class_place": self.class_place,
            "batch_norm_layers": dict(self.layers),
            "histograms": {name: list(shares) for name, shares in self.histograms.items()},
            "missing": self.missing,
        }


def _numbers(measure: Measure) -> dict[str, float | None]:
    return {
        "gap": measure.gap,
        "floor": measure.floor,
        "ratio": measure.ratio,
        **({} if measure.p_value is None else {"p_value": measure.p_value}),
    }

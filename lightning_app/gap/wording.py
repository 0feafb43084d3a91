"""Numbers of a gap as reports write them."""

from lightning_app.gap.measure import Measure

UNITS = {
    "colour": "ΔE",
    "pixel values": "% of the range",
    "spectrum": "nats",
    "proxy A-distance": "0 to 2",
    "BatchNorm statistics": "nats a channel",
    "labels": "bits",
}


def title(measure: Measure) -> str:
    """Writes what is measured, with its unit if it has one."""
    unit = UNITS.get(measure.name)
    what = f"labels, {measure.place}" if measure.name == "labels" else measure.name
    return what if unit is None else f"{what} ({unit})"


def section(measure: Measure) -> str:
    """Writes where a measure stands in a table: beside others of its stage, or with what is of the whole network."""
    is_local = measure.place == "image" or measure.place.startswith("stage")
    return measure.place if is_local else "statistics and labels"


def number(value: float) -> str:
    """Writes a distance with three digits: 12.3, 0.0457, 1.2e-06."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def times(measure: Measure) -> str:
    """Writes a ratio: 5.2×, 0.9×; a dash where the floor is 0."""
    ratio = measure.ratio
    if ratio is None:
        return "–"
    return f"{ratio:.1f}×" if ratio < 100 else f"{ratio:,.0f}×"


def chance(measure: Measure) -> str:
    """Writes a p-value, or nothing where there is none."""
    return "" if measure.p_value is None else f"{measure.p_value:.3f}"

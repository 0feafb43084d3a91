"""Two ways of doing one thing, measured in turns."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Comparison:
    """A row of a benchmark's table: Segue, and what it was measured beside.

    A machine that others use as well changes its pace from minute to minute, so both are measured in turns, and the
    ratio is taken within each pair.

    Attributes:
        case: what was measured.
        unit: of ``segue`` and ``reference``.
        segue: median of Segue's measurements.
        reference: median of the reference's.
        ratio: median of the pairs' ratios, Segue over reference.
        lowest: smallest ratio of a pair.
        highest: largest ratio of a pair.
        pairs: number of pairs.
        target: what the ratio shall not exceed; None if there is no such target.
        least: what the ratio shall reach, where more is better; None if there is no such target.
    """

    case: str
    unit: str
    segue: float
    reference: float
    ratio: float
    lowest: float
    highest: float
    pairs: int
    target: float | None = None
    least: float | None = None

    @classmethod
    def of_pairs(
        cls,
        case: str,
        unit: str,
        pairs: Sequence[tuple[float, float]],
        target: float | None = None,
        least: float | None = None,
    ) -> "Comparison":
        """Summarises pairs.

        Args:
            case: what was measured.
            unit: of the measurements.
            pairs: (Segue, reference), each measured one right after the other.
            target: what the ratio shall not exceed.
            least: what the ratio shall reach, where more is better.
        """
        ratios = [segue / reference for segue, reference in pairs]
        return cls(
            case,
            unit,
            median(segue for segue, _ in pairs),
            median(reference for _, reference in pairs),
            median(ratios),
            min(ratios),
            max(ratios),
            len(pairs),
            target,
            least,
        )

    @property
    def goal(self) -> str:
        """What the ratio ought to be, such as ``≤ 1.3`` or ``≥ 0.9``."""
        goals = [(sign, bound) for sign, bound in (("≤", self.target), ("≥", self.least)) if bound is not None]
        return " and ".join(f"{sign} {bound:g}" for sign, bound in goals) or "–"

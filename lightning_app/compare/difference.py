"""By how much two methods differ, and whether that is more than noise."""

from dataclasses import dataclass

from lightning_app.compare.statistics import Interval


@dataclass(frozen=True)
class Difference:
    """A difference of target mIoU, in [−1, 1], with its 95 % intervals.

    Attributes:
        value: the method's mean over its seeds less the baseline's.
        over_images: over draws of the test images, the networks as they are; None without counts of the same images.
        over_seeds: over trainings, the test images as they are; None where either method has one seed.
    """

    value: float
    over_images: Interval | None
    over_seeds: Interval | None

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` if no interval holds 0, ``not distinguishable`` if one does, else ``unknown``."""
        intervals = [one for one in (self.over_images, self.over_seeds) if one is not None]
        if not intervals:
            return "unknown"
        if any(one.holds_zero for one in intervals):
            return "not distinguishable"
        return "better" if self.value > 0 else "worse"

    @property
    def doubt(self) -> str:
        """What the verdict leaves open, or nothing."""
        if self.over_images is None and self.over_seeds is None:
            return "needs counts of the same images, or two seeds each"
        if self.over_seeds is None:
            return "one seed: another may say otherwise"
        if self.over_images is None:
            return "no counts of the same images: other images may say otherwise"
        return ""

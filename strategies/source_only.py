"""Training on the labelled source alone: the lower bound of every comparison."""

from datamodules.batch import Batch
from strategies.base import Losses, Network, Step, Strategy
from strategies.components.criteria import Criterion, CrossEntropy


class SourceOnly(Strategy):
    """Trains on the labelled source images and never sees the target: the lower bound.

    Costs: one forward and backward: what others are measured by

    Args:
        criterion: loss on the source masks; cross-entropy if None.
    """

    def __init__(self, criterion: Criterion | None = None) -> None:
        super().__init__()
        self.criterion = criterion or CrossEntropy()

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the loss on the source masks."""
        source = batch["source"]
        yield {"segmentation": self.criterion(network(source["image"]), source["mask"])}

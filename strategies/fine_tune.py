"""Training on labelled target images: with all of them, the upper bound of every comparison."""

from collections.abc import Sequence

from datamodules.batch import Batch, StreamName
from strategies.base import Losses, Network, Step, Strategy
from strategies.components.criteria import Criterion, CrossEntropy


class FineTune(Strategy):
    """Trains on the labelled target images, usually from a network trained on the source: the upper bound.

    Costs: nothing beside SourceOnly; with ``also_source`` one more forward and backward

    Args:
        criterion: loss on the masks; cross-entropy if None.
        also_source: add the loss on the source images, so that the source is not forgotten.
    """

    required_streams: Sequence[StreamName] = ("labelled_target",)

    def __init__(self, criterion: Criterion | None = None, also_source: bool = False) -> None:
        super().__init__()
        self.criterion = criterion or CrossEntropy()
        if also_source:
            self.required_streams = ("labelled_target", "source")

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the loss on the labelled target, and on the source when it is wanted."""
        target = batch["labelled_target"]
        yield {"segmentation": self.criterion(network(target["image"]), target["mask"])}
        if "source" in self.required_streams:
            source = batch["source"]
            yield {"source_segmentation": self.criterion(network(source["image"]), source["mask"])}

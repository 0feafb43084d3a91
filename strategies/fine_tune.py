"""Training on labelled target images: with all of them, the upper bound of every comparison."""

from collections.abc import Sequence

from datamodules.batch import Batch, StreamName
from strategies.base import Losses, Network, ParameterGroup, Step, Strategy
from strategies.components.criteria import Criterion, CrossEntropy


class FineTune(Strategy):
    """Trains on the labelled target images, usually from a network trained on the source: the upper bound.

    Costs: nothing beside SourceOnly; with ``also_source`` one more forward and backward

    Args:
        criterion: loss on the masks; cross-entropy if None.
        also_source: add the loss on the source images, so that the source is not forgotten.
        encoder_lr_scale: factor of the learning rate for the encoder, > 0. ``PartialFreezing`` trains without it.

    Raises:
        ValueError: if ``encoder_lr_scale`` is not positive.
    """

    required_streams: Sequence[StreamName] = ("labelled_target",)

    def __init__(
        self, criterion: Criterion | None = None, also_source: bool = False, encoder_lr_scale: float = 1.0
    ) -> None:
        super().__init__()
        if encoder_lr_scale <= 0:
            raise ValueError(
                f"FineTune.encoder_lr_scale is {encoder_lr_scale}; give a positive number. To train without the "
                "encoder take PartialFreezing, whose base is FineTune."
            )
        self.criterion = criterion or CrossEntropy()
        self.encoder_lr_scale = encoder_lr_scale
        if also_source:
            self.required_streams = ("labelled_target", "source")

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the loss on the labelled target, and on the source when it is wanted."""
        target = batch["labelled_target"]
        yield {"segmentation": self.criterion(network(target["image"]), target["mask"])}
        if "source" in self.required_streams:
            source = batch["source"]
            yield {"source_segmentation": self.criterion(network(source["image"]), source["mask"])}

    def parameter_groups(self, network: Network) -> list[ParameterGroup]:
        """Scales the learning rate of the encoder."""
        groups = super().parameter_groups(network)
        for group in groups:
            if group["name"] == "encoder":
                group["lr_scale"] = self.encoder_lr_scale
        return groups

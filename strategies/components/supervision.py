"""The terms on labels that unsupervised methods share."""

from datamodules.batch import Batch
from strategies.base import Losses, Network
from strategies.components.criteria import Criterion


def labelled_target_terms(criterion: Criterion, network: Network, batch: Batch) -> Losses:
    """Yields the loss on the target images whose labels were given, if there are any.

    Args:
        criterion: the loss.
        network: the network.
        batch: the streams of a step.

    Yields:
        ``target_segmentation``, or nothing.
    """
    if "labelled_target" in batch:
        target = batch["labelled_target"]
        yield {"target_segmentation": criterion(network(target["image"]), target["mask"])}

"""Training on the source while the network is made sure of itself on the target."""

from datamodules.batch import Batch
from strategies.base import Losses, Network, Step, Strategy
from strategies.components.criteria import Criterion, CrossEntropy
from strategies.components.entropy import normalized_entropy
from strategies.components.supervision import labelled_target_terms


class EntropyMinimization(Strategy):
    """Trains on the source, and makes the network sure of its predictions on the target (MinEnt).

    Loss: CE(source) + weight · mean over target pixels of −Σ p log p / log C.

    Source and target pass through the network one after the other: each is normalised by its own batch, and BatchNorm's
    running statistics, which evaluation uses, become a mix of both.

    Reference: Vu et al., ADVENT, CVPR 2019, https://arxiv.org/abs/1811.12833
    Costs: one more forward and backward, on the target images
    Differs from the paper: one level, no class-ratio prior, and target labels are learned from where they were given.

    Args:
        weight: factor of the entropy, ≥ 0; the paper's 0.001 by default.
        criterion: loss on the masks; cross-entropy if None.

    Raises:
        ValueError: if ``weight`` is negative.
    """

    required_streams = ("source", "target")
    optional_streams = ("labelled_target",)

    def __init__(self, weight: float = 0.001, criterion: Criterion | None = None) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"EntropyMinimization.weight is {weight}; give 0 or a positive number.")
        self.weight = weight
        self.criterion = criterion or CrossEntropy()

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the loss on the source, on target labels where there are any, and the target's entropy."""
        source = batch["source"]
        yield {"segmentation": self.criterion(network(source["image"]), source["mask"])}
        yield from labelled_target_terms(self.criterion, network, batch)
        yield {"entropy": self.weight * normalized_entropy(network(batch["target"]["image"]))}

"""A strategy that holds another one and adds to it."""

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor, nn

from datamodules.batch import Batch, DomainBatch, DomainName, RareClassSampling, StreamName
from strategies.base import Losses, Network, ParameterGroup, Step, Strategy
from strategies.components.teacher import Teacher


class Wrapper(Strategy):
    """Does what its base does: the superclass of methods that work on top of any other.

    A subclass overrides what it adds and calls ``super()`` for the rest. It calls ``super().build`` first, uses
    ``teacher`` when there is one, and may split a group of ``super().parameter_groups`` and multiply its scale. The
    streams that it declares are added to those of its base.

    Args:
        base: the strategy underneath.
    """

    required_streams: Sequence[StreamName] = ()

    def __init__(self, base: Strategy) -> None:
        super().__init__()
        self.base = base
        required = dict.fromkeys((*base.required_streams, *self.required_streams))
        optional = dict.fromkeys((*base.optional_streams, *self.optional_streams))
        self.required_streams = tuple(required)
        self.optional_streams = tuple(stream for stream in optional if stream not in required)
        self.requests: Sequence[RareClassSampling] = base.requests
        self.refresh_every = base.refresh_every
        self.wants_pretrained = base.wants_pretrained

    @property
    def name(self) -> str:
        """The names of the wrapper and of what is in it."""
        return f"{type(self).__name__}({self.base.name})"

    def within(self) -> Iterator[Strategy]:
        """Yields the base, what that wraps, and so on."""
        yield self.base
        if isinstance(self.base, Wrapper):
            yield from self.base.within()

    def keep_pretrained(self, network: Network) -> None:
        """Has the base copy what it needs."""
        self.base.keep_pretrained(network)

    def build(self, network: Network, classes: Sequence[str]) -> None:
        """Builds the base."""
        self.base.build(network, classes)

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the terms of the base."""
        yield from self.base.losses(network, batch, step)

    def parameter_groups(self, network: Network) -> list[ParameterGroup]:
        """Returns the groups of the base, and the wrapper's own parameters behind them."""
        groups = self.base.parameter_groups(network)
        of_base = {id(parameter) for parameter in self.base.parameters()}
        own = [p for p in self.parameters() if p.requires_grad and id(p) not in of_base]
        return [*groups, {"name": type(self).__name__, "params": own}] if own else groups

    def after_step(self, network: Network, step: Step) -> None:
        """Tells the base."""
        self.base.after_step(network, step)

    def refresh(self, network: Network, target_batches: Iterable[DomainBatch], step: Step) -> None:
        """Refreshes the base."""
        self.base.refresh(network, target_batches, step)

    def pseudo_labels(self, probabilities: Tensor) -> Tensor | None:
        """Asks the base."""
        return self.base.pseudo_labels(probabilities)

    def train_mode(self, network: Network, step: Step) -> None:
        """Asks the base."""
        self.base.train_mode(network, step)

    @property
    def teacher(self) -> Teacher | None:
        """The base's mean teacher, or None."""
        return self.base.teacher

    def inference_network(self, network: nn.Module, domain: DomainName) -> nn.Module:
        """Returns the base's choice."""
        return self.base.inference_network(network, domain)

"""The seam: what a strategy is given, and what it gives back."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, NotRequired, Protocol, TypedDict

from torch import Tensor, nn

from datamodules.batch import Batch, DomainBatch, DomainName, RareClassSampling, StreamName

if TYPE_CHECKING:  # a component knows the seam, and not the seam its components
    from strategies.components.teacher import Teacher

Losses = Iterator[dict[str, Tensor]]
"""What ``Strategy.losses`` yields: named and already weighted scalar terms."""


class Stage(NamedTuple):
    """One stage of an encoder: what lies between two of its feature maps.

    Attributes:
        map: index of its map in ``Network.features``.
        channels: channels of that map.
        parameters: names of its parameters, as in ``Network.named_parameters``.
    """

    map: int
    channels: int
    parameters: list[str]


class Network(Protocol):
    """What a strategy may rely on in the network it trains: a ``torch.nn.Module`` with these members."""

    training: bool
    mean: Tensor
    """(1, C, 1, 1), what the network subtracts from an image: a pixel of this value is 0 to the encoder."""

    @property
    def encoder(self) -> nn.Module:
        """The encoder of segmentation_models_pytorch."""

    @property
    def decoder(self) -> nn.Module:
        """Its decoder."""

    @property
    def segmentation_head(self) -> nn.Module:
        """The last convolution, and the upsampling behind it."""

    def __call__(self, image: Tensor) -> Tensor:
        """Maps (B, C, H, W) float images in [0, 1], not normalised, to (B, classes, H, W) logits."""

    def features(self, image: Tensor) -> list[Tensor]:
        """Returns the encoder's maps of the same images, from the finest to the deepest."""

    def decode(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Maps the encoder's maps to (B, classes, H, W) logits of the given size."""

    def to_image_size(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Enlarges maps that cover the padded image to the image's own (H, W)."""

    def stages(self) -> list[Stage]:
        """Returns the encoder's stages that have parameters, from the image to the deepest map."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yields every parameter and its name, as in ``torch.nn.Module``."""

    def named_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Yields every module and its name, as in ``torch.nn.Module``."""

    def get_submodule(self, target: str) -> nn.Module:
        """Returns a module by its name, as in ``torch.nn.Module``."""


@dataclass
class Step:
    """Where training is, and what a method wants to tell about it.

    Attributes:
        index: zero-based index of the optimizer step, the same in ``losses`` and in the ``after_step`` that follows.
        total: number of optimizer steps of the whole run.
        epoch: zero-based epoch.
        shared: what a wrapper may reuse, by name: ``pseudo_labels`` (B, H, W) int64 of the stream ``target`` and
            ``pseudo_weights`` (B, H, W) float, what each of their pixels counts.
        draw: whether what the method shows is looked at: in the last step before a validation, on one rank.
    """

    index: int
    total: int
    epoch: int = 0
    shared: dict[str, Tensor] = field(default_factory=dict)
    logged: dict[str, Tensor | float] = field(default_factory=dict)
    draw: bool = False
    shown: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    def log(self, name: str, value: Tensor | float) -> None:
        """Logs a number as ``train/<name>``; a tensor is detached."""
        self.logged[name] = value.detach() if isinstance(value, Tensor) else value

    def show(self, name: str, image: Tensor, pictures: Mapping[str, Tensor] | None = None) -> None:
        """Shows images of the batch, and what belongs to them, as the panel ``train/<name>``; in other steps nothing.

        Hand over what the step has anyway. What is made for the picture alone goes behind ``if step.draw:``.

        Args:
            name: the panel's name, such as ``mixed``.
            image: (B, C, H, W) float in [0, 1].
            pictures: of the same images by title: masks (B, H, W) of int64 class ids with 255 = ignore, maps (B, H, W)
                of floats in [0, 1], and further images (B, C, H, W).
        """
        if self.draw:
            everything = {"image": image, **(pictures or {})}
            self.shown[name] = {title: picture.detach() for title, picture in everything.items()}


LearningRateScale = float | Callable[[Step], float]
"""Factor of a learning rate and of its schedule: a number, or a function of where training is."""


class ParameterGroup(TypedDict):
    """Parameters that share a learning rate.

    Attributes:
        name: what the group is called in logs, such as ``encoder``.
        params: the parameters.
        lr: the learning rate, if it is not the optimizer's; the schedule applies to it too.
        lr_scale: factor of the learning rate and of its schedule, a number or a function of the step; 1 if absent. In
            steps in which it is 0 the group is held back: no gradient is computed for it, and the optimizer passes
            over it.
        betas: Adam's betas, if they differ from the optimizer's.
        weight_decay: the weight decay, if it differs from the optimizer's.
    """

    name: str
    params: list[nn.Parameter]
    lr: NotRequired[float]
    lr_scale: NotRequired[LearningRateScale]
    betas: NotRequired[tuple[float, float]]
    weight_decay: NotRequired[float]


class Strategy(nn.Module):
    """How a network learns: override ``losses``, and as little else as the method needs.

    A strategy is owned by the LightningModule: its parts are saved, moved and reduced like any module's, and its
    counters are buffers. It keeps no reference to the network, the LightningModule or the Trainer, so a test can
    call it with a network and a batch and nothing else.

    Attributes:
        required_streams: the streams without which it cannot train.
        optional_streams: the streams it uses when they are there. It gets no others.
        requests: plain settings it asks of the data. What a config sets itself wins over them.
        refresh_every: steps from one ``refresh`` to the next, of which the first comes before step 0 and one more
            after the last step; 0 refreshes after the last step alone, None never.
        wants_pretrained: whether ``keep_pretrained`` shall be called.
    """

    required_streams: Sequence[StreamName] = ("source",)
    optional_streams: Sequence[StreamName] = ()
    requests: Sequence[RareClassSampling] = ()
    refresh_every: int | None = None
    wants_pretrained: bool = False

    @property
    def name(self) -> str:
        """What the strategy is called in messages and checkpoints."""
        return type(self).__name__

    def keep_pretrained(self, network: Network) -> None:
        """Copies what the method needs of the network as its encoder's weights left it, before ``init_from``."""

    def build(self, network: Network, classes: Sequence[str]) -> None:
        """Makes the method's own parts, such as a discriminator, and freezes what stays frozen; called once."""

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the terms of one training step.

        Terms that share a graph come in one dict, others one after another: as soon as the next dict is asked for,
        the one before is back-propagated and its activations are freed.

        Args:
            network: the network in training mode.
            batch: the declared streams, on the device.
            step: where training is.

        Yields:
            Named, already weighted scalar terms.
        """
        raise NotImplementedError(f"{type(self).__name__} must define losses(network, batch, step)")

    def parameter_groups(self, network: Network) -> list[ParameterGroup]:
        """Returns every trainable parameter of the network and of the strategy exactly once, in named groups."""
        groups: list[ParameterGroup] = [
            {"name": "encoder", "params": list(network.encoder.parameters())},
            {"name": "decoder", "params": list(network.decoder.parameters())},
            {"name": "head", "params": list(network.segmentation_head.parameters())},
            {"name": "strategy", "params": list(self.parameters())},
        ]
        for group in groups:
            group["params"] = [parameter for parameter in group["params"] if parameter.requires_grad]
        return [group for group in groups if group["params"]]

    def after_step(self, network: Network, step: Step) -> None:
        """Runs after a real optimizer step: a teacher's moving average."""

    def refresh(self, network: Network, target_batches: Iterable[DomainBatch], step: Step) -> None:
        """Runs as ``refresh_every`` says, without gradients: a pass over the target, for thresholds or statistics.

        The network comes in eval mode, and is put back into training mode afterwards.

        Args:
            network: the network.
            target_batches: this rank's target training images, one at a time, whole or in windows, not augmented,
                without masks, on the device, in an order of chance. They are read as they are asked for, and from
                the first one again each time. Ranks may have different numbers of them, or none.
            step: the step that comes next; behind the last one its index is the total.
        """

    def pseudo_labels(self, probabilities: Tensor) -> Tensor | None:
        """Returns the pseudo-labels that pixels would get, for the scores of validation.

        Args:
            probabilities: (B, C, H, W), of the inference network.

        Returns:
            (B, H, W) int64 class ids, 255 = none; or None for a method without pseudo-labels.
        """
        return None

    def train_mode(self, network: Network, step: Step) -> None:
        """Runs when the network enters training mode and before every training step: still layers go back to eval."""

    @property
    def teacher(self) -> "Teacher | None":
        """The mean teacher, or None."""
        return None

    def inference_network(self, network: nn.Module, domain: DomainName) -> nn.Module:
        """Returns the network that validation, test, prediction and export use for a domain."""
        return network

"""The parts of a network, and which of its layers keep statistics."""

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from strategies.base import Network, Stage


def parts(network: Network) -> dict[str, list[str]]:
    """Returns the names of the parameters of each part: ``encoder.0``, ``encoder.1``, …, ``decoder``, ``head``.

    Args:
        network: the network.

    Returns:
        The parts from the image to the logits; together they hold every parameter of the network once.
    """
    found = {f"encoder.{number}": stage.parameters for number, stage in enumerate(network.stages())}
    for part, module in (("decoder", network.decoder), ("head", network.segmentation_head)):
        own = {id(parameter) for parameter in module.parameters()}
        found[part] = [name for name, parameter in network.named_parameters() if id(parameter) in own]
    return {part: names for part, names in found.items() if names}


def pick_stage(stages: Sequence[Stage], number: int, argument: str) -> Stage:
    """Returns the stage that an argument names.

    Args:
        stages: the encoder's stages.
        number: the stage's; a negative one counts from the deepest.
        argument: what the error calls it, such as ``AdversarialAlignment.stages``.

    Raises:
        ValueError: if there is no such stage.
    """
    if not -len(stages) <= number < len(stages):
        raise ValueError(
            f"{argument} names stage {number}, but the encoder's stages are 0 to {len(stages) - 1}, or −1 for the "
            "deepest."
        )
    return stages[number]


def layers_with_statistics(network: Network) -> dict[str, nn.Module]:
    """Returns the normalisation layers that keep running statistics, by name."""
    return {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, _NormBase) and layer.track_running_stats
    }


def is_normalization(layer: nn.Module) -> bool:
    """Tells whether a layer normalises, with or without running statistics."""
    return isinstance(layer, _NormBase | nn.LayerNorm | nn.GroupNorm | nn.RMSNorm)


_MARK = "stands_still"


def stand_still(layer: nn.Module, still: bool) -> None:
    """Keeps a layer in eval mode whatever ``.train()`` is called on what it is in, or lets it go.

    Args:
        layer: a normalisation layer.
        still: whether its statistics stand still; a layer that is let go enters training mode.
    """
    # The mark is on the layer itself, because another layer may take its place: SyncBatchNorm does.
    if not hasattr(layer, _MARK):
        layer.register_forward_pre_hook(_keep_still)
    elif getattr(layer, _MARK) and not still:
        layer.train()
    setattr(layer, _MARK, still)
    if still:
        layer.eval()


def _keep_still(layer: nn.Module, _: object) -> None:
    if getattr(layer, _MARK):
        layer.eval()

"""What a checkpoint may hold of a run, what is taken from it, and whether a run can go on from it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_app.network_spec import NetworkSpec
from strategies.base import Strategy


def plain_values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that a checkpoint can hold without code: numbers, text, lists and dicts of them, None."""
    return {name: value for name, value in settings.items() if _is_plain(value)}


def check_resumable(
    described: Mapping[str, Any], strategy: Strategy | None, spec: NetworkSpec, labels_given: int | None
) -> None:
    """Checks that a run is set up as the one that wrote a checkpoint.

    Args:
        described: what the checkpoint says of its run.
        strategy: the strategy.
        spec: the network.
        labels_given: the target labels of the run; None is not compared.

    Raises:
        ValueError: naming all that differs.
    """
    ours = {"strategy": None if strategy is None else strategy.name, **asdict(spec)}
    theirs = {"strategy": described["strategy"], **described["network"]}
    if labels_given is not None:
        ours["target labels"], theirs["target labels"] = labels_given, described["labels_given"]
    different = [f"{key} {theirs[key]}, not {value}" for key, value in ours.items() if theirs[key] != value]
    if different:
        raise ValueError(
            f"The checkpoint cannot be resumed here: it was made with {'; '.join(different)}. "
            "Resume with the same settings, or start a new run from its network with model.init_from."
        )


def description(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns what a checkpoint says of its run.

    Raises:
        ValueError: if Segue did not write it.
    """
    described: Mapping[str, Any] | None = checkpoint.get("segue")
    if described is None:
        raise ValueError("The checkpoint was not written by Segue. Take its weights with model.init_from instead.")
    return described


def inference_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns the weights of a checkpoint's inference network, by their names in a segmenter without a strategy.

    Warns if it is the network for the target alone.
    """
    described = description(checkpoint)
    if described.get("source_apart"):
        rank_zero_warn(
            f"{described['strategy']} gave the source layers of its own, which a checkpoint does not hand on: "
            "source images are taken by the network for the target, and score otherwise than in the fit."
        )
    prefix = f"{described['inference_network']}."
    weights: Mapping[str, Tensor] = checkpoint["state_dict"]
    return {f"network.{k.removeprefix(prefix)}": v for k, v in weights.items() if k.startswith(prefix)}


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)

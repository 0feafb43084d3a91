"""What a network is built from, and the bare smp model that is built of it."""

import difflib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import segmentation_models_pytorch as smp

_ARCHITECTURES: dict[str, type[smp.base.SegmentationModel]] = smp.MODEL_ARCHITECTURES_MAPPING
# The activation would turn logits into probabilities, and auxiliary classes have no labels here.
_NOT_OPTIONS = {
    "self",
    "encoder_name",
    "encoder_weights",
    "in_channels",
    "classes",
    "activation",
    "aux_params",
    "kwargs",
}


@dataclass(frozen=True)
class NetworkSpec:
    """Everything needed to build a network, in plain values: a checkpoint holds it as a dict.

    Attributes:
        architecture: an architecture of smp as its class is spelled, e.g. ``Unet`` or ``DeepLabV3Plus``; upper and
            lower case are the same.
        encoder: an encoder of smp, e.g. ``resnet18``, or ``tu-`` and a model of timm, e.g. ``tu-convnext_atto``.
        classes: at least two different class names; class id = position.
        in_channels: channels of the images, 3 by default, at least 1.
        options: further arguments of the architecture, e.g. ``encoder_depth`` or ``decoder_channels``; under a
            ``tu-`` encoder also arguments of the timm model.

    Raises:
        ValueError: for fewer than two classes, a repeated class name or no input channel.
    """

    architecture: str
    encoder: str
    classes: list[str]
    in_channels: int = 3
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses what no network can be built from."""
        if len(self.classes) < 2:
            raise ValueError(
                f"classes are {list(self.classes)}; a network needs at least two. For one kind of object name the "
                "background too, e.g. [background, crack]: two classes are two logits."
            )
        repeated = sorted({name for name in self.classes if list(self.classes).count(name) > 1})
        if repeated:
            raise ValueError(f"classes name {', '.join(repeated)} more than once; every class needs a name of its own.")
        if self.in_channels < 1:
            raise ValueError(f"in_channels is {self.in_channels}; images have at least 1 channel.")


def build_model(spec: NetworkSpec, encoder_weights: str | bool | None = None) -> smp.base.SegmentationModel:
    """Builds the bare smp model of a spec.

    Args:
        spec: what to build.
        encoder_weights: None for random weights; else what smp shall download, a name or, under ``tu-``, True.

    Returns:
        The model; its parts are ``encoder``, ``decoder`` and ``segmentation_head``.

    Raises:
        ValueError: for an architecture, encoder or option that does not exist or does not go with the others.
    """
    architecture = _ARCHITECTURES.get(spec.architecture.lower())
    if architecture is None:
        names = [known.__name__ for known in _ARCHITECTURES.values()]
        raise ValueError(
            f"architecture {spec.architecture} does not exist{did_you_mean(spec.architecture, names)} "
            f"The architectures are {', '.join(names)}."
        )
    _check_encoder(spec.encoder)
    known_options = [name for name in inspect.signature(architecture).parameters if name not in _NOT_OPTIONS]
    unknown = [name for name in spec.options if name not in known_options]
    hint = f"The options of {architecture.__name__} are {', '.join(known_options)}."
    # Under "tu-" an option may be meant for the timm model, which refuses a wrong one itself; elsewhere smp drops it.
    refused = [name for name in unknown if name in _NOT_OPTIONS or not spec.encoder.startswith("tu-")]
    if refused:
        raise ValueError(
            f"{architecture.__name__} with encoder {spec.encoder} has no option {refused[0]}"
            f"{did_you_mean(refused[0], known_options)} {hint}"
        )
    arguments = {
        "encoder_name": spec.encoder,
        "encoder_weights": encoder_weights,
        "in_channels": spec.in_channels,
        "classes": len(spec.classes),
        **spec.options,
    }
    try:
        if "dynamic_img_size" not in spec.options and _has_fixed_size(spec.encoder):
            try:
                return architecture(**arguments, dynamic_img_size=True)
            except TypeError:
                pass  # Not every model of fixed size can be told to take others: build it as it is.
        return architecture(**arguments)
    except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{architecture.__name__} with encoder {spec.encoder} and options {spec.options} cannot be built: {error}"
            + (f" ({', '.join(unknown)} went to the timm model. {hint})" if unknown else "")
        ) from error


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Ends the sentence of an error message about an unknown name with the nearest known ones.

    Args:
        name: the name that does not exist.
        candidates: the names that do.

    Returns:
        ``; did you mean …?``, or a full stop if nothing is near.
    """
    by_lower_case = {candidate.lower(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(name.lower(), by_lower_case, n=3)
    return f"; did you mean {' or '.join(by_lower_case[match] for match in matches)}?" if matches else "."


def _check_encoder(name: str) -> None:
    import timm

    known: list[str] = smp.encoders.get_encoder_names()
    if name.startswith("tu-"):
        if timm.is_model(name.removeprefix("tu-")):
            return
    elif name in known or smp.encoders.is_equivalent_to_timm_universal(name):
        return
    candidates = [*known, *(f"tu-{model}" for model in timm.list_models())]
    raise ValueError(
        f"encoder {name} does not exist{did_you_mean(name, candidates)} "
        "smp.encoders.get_encoder_names() and, with tu- before each, timm.list_models() list them all."
    )


def _has_fixed_size(encoder: str) -> bool:
    import timm

    if not encoder.startswith("tu-"):
        return False
    config = timm.get_pretrained_cfg(encoder.removeprefix("tu-"))
    return config is not None and config.fixed_input_size

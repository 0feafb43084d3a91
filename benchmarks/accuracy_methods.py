"""The rows of ``make accuracy``: pairs of domains, and how each method is asked for on the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LOWER, WEAK, UPPER, FEW = "SourceOnly", "SourceOnly, weak augmentation", "FineTune, all labels", "FineTune, 5 labels"


@dataclass(frozen=True)
class Pair:
    """Two domains.

    Attributes:
        config: the config of the pair.
        folder: where the config expects its files; None for generated ones.
        small: crops that keep a step short on a CPU.
        full: crops of whole images.
        told: what methods are told about the pair, by the name that stands for it in ``Method.options``.
    """

    config: str
    folder: str | None
    small: tuple[str, ...]
    full: tuple[str, ...]
    told: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        options: what is added to the command line; ``$eighth`` and ``$quarter`` are shares of the steps, and what
            ``Pair.told`` names stands for what it holds.
        from_source: whether it starts from the network that SourceOnly made with the same seed; else from ImageNet.
    """

    options: tuple[str, ...]
    from_source: bool = False


def strategy(name: str, *arguments: str) -> tuple[str, ...]:
    """Returns the options that choose a strategy.

    Args:
        name: the class; ``Outer(Inner)`` wraps.
        arguments: ``key=value`` of the outermost, or ``base.key=value`` of what is in it.
    """
    options: list[str] = []
    key = "--model.strategy"
    for one in name.rstrip(")").split("("):
        options += [key, one]
        key += ".base"
    for argument in arguments:
        name, _, value = argument.partition("=")
        options += [f"--model.strategy.{name}", value]
    return tuple(options)


PAIRS = {
    "camvid_day2dusk": Pair(
        "configs/data/camvid_day2dusk.yaml",
        "data/camvid_day2dusk",
        small=("--data.crop", "[96, 128]"),
        full=("--data.crop", "[360, 480]"),
        told={"things": "[Pole, SignSymbol, Car, Pedestrian, Bicyclist]"},
    ),
    "nuclei_fluo2stained": Pair(
        "configs/data/nuclei_fluo2stained.yaml",
        "data/nuclei_fluo2stained",
        small=("--data.crop", "[112, 112]"),
        full=("--data.crop", "[256, 256]"),
        told={"things": "[nucleus]"},
    ),
    "synthetic_streets": Pair("configs/example/streets.yaml", None, small=(), full=()),
}

STRONG = ("--data.strength", "strong")
# A teacher labels what its student then sees in other colours, which the strategy makes itself.
WEAK_TARGET = ("--data.strength", "{source: strong, target: weak}")
_RARE = ("--data.rare_class_sampling", "{minimum_pixels: 300, minimum_crop_pixels: 100}")


def _unlabelled(name: str, *arguments: str) -> Method:
    return Method((*strategy(name, *arguments), *STRONG))


def _teacher(name: str, *arguments: str) -> Method:
    return Method((*strategy(name, *arguments), *WEAK_TARGET))


METHODS = {
    LOWER: Method((*strategy("SourceOnly"), *STRONG)),
    WEAK: Method((*strategy("SourceOnly"), "--data.strength", "weak")),
    UPPER: Method((*strategy("FineTune"), *STRONG, "--data.labels", "all"), from_source=True),
    FEW: Method((*strategy("FineTune"), *STRONG, "--data.labels", "5"), from_source=True),
    "PartialFreezing, 5 labels": Method(
        (*strategy("PartialFreezing", "thaw=$eighth", "layer_decay=0.8"), *STRONG, "--data.labels", "5"),
        from_source=True,
    ),
    **{
        f"AdversarialAlignment, {level}": _unlabelled("AdversarialAlignment", f"level={level}")
        for level in ("features", "output", "entropy")
    },
    "EntropyMinimization": _unlabelled("EntropyMinimization"),
    **{
        f"MomentAlignment, {distance}": _unlabelled("MomentAlignment", f"distance={distance}")
        for distance in ("coral", "mmd")
    },
    **{
        f"AdaptiveBatchNorm, {statistics}": _unlabelled("AdaptiveBatchNorm", f"statistics={statistics}")
        for statistics in ("end", "along")
    },
    "AdaptiveBatchNorm(EntropyMinimization), per_domain": _unlabelled(
        "AdaptiveBatchNorm(EntropyMinimization)", "statistics=per_domain"
    ),
    "FourierStyle": _unlabelled("FourierStyle"),
    "SelfTraining": Method((*strategy("SelfTraining", "refresh_every=$quarter"), *WEAK_TARGET), from_source=True),
    "MeanTeacher": _teacher("MeanTeacher"),
    "ClassMix": _teacher("ClassMix"),
    "ClassMix, boxes": _teacher("ClassMix", "mix=boxes"),
    "DAFormer": Method((*strategy("DAFormer", "things=$things"), *WEAK_TARGET, *_RARE)),
    "MaskedConsistency(ClassMix)": _teacher("MaskedConsistency(ClassMix)", "block=16"),
    "FourierStyle(ClassMix)": _teacher("FourierStyle(ClassMix)"),
    "MaskedConsistency(FourierStyle(ClassMix))": _teacher("MaskedConsistency(FourierStyle(ClassMix))", "block=16"),
}

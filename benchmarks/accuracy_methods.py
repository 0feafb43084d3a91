"""The rows of ``make accuracy``: pairs of domains, and how each method is asked for on the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LOWER, WEAK, CONTINUED = "SourceOnly", "SourceOnly, weak augmentation", "SourceOnly, continued"
UPPER = "FineTune, all labels"
FEW = ("FineTune, 5 labels", "FineTune, 5 labels, also source")
ALONE = (LOWER, WEAK, CONTINUED)
"""The rows that see no target image."""


@dataclass(frozen=True)
class Pair:
    """Two domains.

    Attributes:
        config: the config of the pair.
        folder: where the config expects its files; None for generated ones.
        small: crops and batches that keep a step short on a CPU.
        full: larger crops, for a GPU.
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
    from_source: bool = True


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


# Flips and colours without the blur and the noise of `driving`: also chosen by the validation images.
_JITTER = (
    "[{class_path: albumentations.HorizontalFlip}, {class_path: albumentations.ColorJitter, "
    "init_args: {brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1, p: 0.8}}]"
)
PAIRS = {
    "camvid_day2dusk": Pair(
        "configs/data/camvid_day2dusk.yaml",
        "data/camvid_day2dusk",
        # Chosen by the validation images: a network of so few steps sees more of a street at this size.
        small=(
            *("--data.crop", "[96, 128]", "--data.scale", "[0.3, 0.6]", "--data.batch_size", "8"),
            *("--data.augmentation", _JITTER),
            *("--model.windows", "{size: [360, 480], overlap: 0.0, batch_size: 1, scale: 0.4}"),
        ),
        # Chosen by the validation images, as benchmarks/README.md tells.
        full=(
            *("--data.crop", "[192, 256]", "--data.scale", "[0.5, 1.0]", "--data.batch_size", "8"),
            *("--data.augmentation", _JITTER, "--data.workers", "2"),
            *("--model.windows", "{size: [360, 480], overlap: 0.0, batch_size: 4, scale: 0.75}"),
        ),
        told={"preset": "driving", "things": "[Pole, SignSymbol, Car, Pedestrian, Bicyclist]"},
    ),
    "nuclei_fluo2stained": Pair(
        "configs/data/nuclei_fluo2stained.yaml",
        "data/nuclei_fluo2stained",
        small=("--data.crop", "[112, 112]", "--data.batch_size", "4"),
        full=("--data.crop", "[256, 256]"),
        told={"preset": "microscopy", "things": "[nucleus]"},
    ),
    "synthetic_streets": Pair(
        "configs/example/streets.yaml",
        None,
        small=("--data.batch_size", "4"),
        full=(),
        told={"preset": "driving", "things": "[car, person, sign, pole]"},
    ),
}

STRONG = ("--data.strength", "strong")
# A teacher labels what its student then sees in other colours, which the strategy makes itself.
WEAK_TARGET = ("--data.strength", "{source: strong, target: weak}")
_RARE = ("--data.rare_class_sampling", "{minimum_pixels: 300, minimum_crop_pixels: 100}")


def _plain(name: str, *arguments: str) -> Method:
    return Method((*strategy(name, *arguments), *STRONG))


def _teacher(name: str, *arguments: str) -> Method:
    return Method((*strategy(name, *arguments), *WEAK_TARGET))


def _labelled(labels: str, name: str, *arguments: str) -> Method:
    return Method((*strategy(name, *arguments), *STRONG, "--data.labels", labels))


METHODS = {
    LOWER: Method((*strategy("SourceOnly"), *STRONG), from_source=False),
    WEAK: Method(
        (*strategy("SourceOnly"), "--data.augmentation", "$preset", "--data.strength", "weak"), from_source=False
    ),
    CONTINUED: _plain("SourceOnly"),
    UPPER: _labelled("all", "FineTune"),
    FEW[0]: _labelled("5", "FineTune"),
    FEW[1]: _labelled("5", "FineTune", "also_source=true"),
    "PartialFreezing, 5 labels": _labelled("5", "PartialFreezing", "thaw=$eighth", "layer_decay=0.8"),
    **{
        f"AdversarialAlignment, {level}": _plain("AdversarialAlignment", f"level={level}")
        for level in ("features", "output", "entropy")
    },
    "EntropyMinimization": _plain("EntropyMinimization"),
    **{
        f"MomentAlignment, {distance}": _plain("MomentAlignment", f"distance={distance}")
        for distance in ("coral", "mmd")
    },
    **{
        f"AdaptiveBatchNorm, {statistics}": _plain("AdaptiveBatchNorm", f"statistics={statistics}")
        for statistics in ("end", "along")
    },
    "AdaptiveBatchNorm(EntropyMinimization), per_domain": _plain(
        "AdaptiveBatchNorm(EntropyMinimization)", "statistics=per_domain"
    ),
    "AdaptiveBatchNorm(EntropyMinimization), shared": _plain(
        "AdaptiveBatchNorm(EntropyMinimization)", "statistics=per_domain", "affine=shared"
    ),
    "FourierStyle": _plain("FourierStyle"),
    "SelfTraining": _teacher("SelfTraining", "refresh_every=$quarter"),
    "MeanTeacher": _teacher("MeanTeacher"),
    "ClassMix": _teacher("ClassMix"),
    "ClassMix, boxes": _teacher("ClassMix", "mix=boxes"),
    "DAFormer": Method((*strategy("DAFormer", "things=$things"), *WEAK_TARGET, *_RARE)),
    "MaskedConsistency(ClassMix)": _teacher("MaskedConsistency(ClassMix)", "block=16"),
    "FourierStyle(ClassMix)": _teacher("FourierStyle(ClassMix)"),
    "MaskedConsistency(FourierStyle(ClassMix))": _teacher("MaskedConsistency(FourierStyle(ClassMix))", "block=16"),
}

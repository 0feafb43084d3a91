"""Files of weights and checkpoints: read without running code from them, refused with a reason."""

import pickle
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lightning_app.network_spec import NetworkSpec, did_you_mean

CHECKPOINT_FORMAT = 1
"""Of what a checkpoint holds under ``segue``."""
SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt")


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
    return as_checkpoint(read_file(Path(path)), Path(path))


def labels_of(path: str | Path) -> int:
    """Returns how many target labels went into the weights of a file: 0 for what is no Segue checkpoint."""
    contents = read_file(Path(path))
    return int(as_checkpoint(contents, Path(path)).meta.get("labels_used", 0)) if is_checkpoint(contents) else 0


def read_file(path: Path) -> object:
    """Reads what a file of weights holds: plain values and tensors alone."""
    path = path.expanduser()
    if path.is_dir():
        files = sorted(file.name for file in path.iterdir() if file.suffix in SUFFIXES)
        raise ValueError(f"{path} is a folder, not a file of weights; in it are {shorten(files) or 'none'}.")
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


def is_checkpoint(contents: object) -> TypeGuard[dict[str, Any]]:
    """Tells whether Segue wrote what a file holds."""
    return isinstance(contents, dict) and "segue" in contents


def _is_lightning(contents: object) -> bool:
    return isinstance(contents, dict) and "state_dict" in contents and "pytorch-lightning_version" in contents


def as_checkpoint(contents: object, path: Path) -> NetworkCheckpoint:
    """Takes the inference network out of what a file holds, or says what it is instead."""
    if not is_checkpoint(contents):
        kind = "of another Lightning program" if _is_lightning(contents) else "a file of plain weights"
        raise ValueError(
            f"{path} is no checkpoint of Segue but {kind}. Only Segue's own checkpoints say which network they hold; "
            "plain weights can be named in init_from or as encoder weights."
        )
    meta = contents["segue"]
    try:
        if meta["format"] != CHECKPOINT_FORMAT:
            raise ValueError(
                f"{path} has format {meta['format']}; this version of Segue reads format {CHECKPOINT_FORMAT}."
            )
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


def as_tensors(contents: object, path: Path) -> dict[str, Tensor]:
    """Takes named tensors out of what a file holds, or says what it is instead."""
    if isinstance(contents, dict) and contents and all(isinstance(value, Tensor) for value in contents.values()):
        return dict(contents)
    if _is_lightning(contents):
        reason = "is a Lightning checkpoint of another program"
    elif isinstance(contents, dict):
        reason = f"holds {shorten(map(str, contents)) or 'nothing'} instead of named tensors"
    else:
        reason = f"holds a {type(contents).__name__} instead of named tensors"
    raise ValueError(f"{path} {reason}. Save the network's state_dict alone: torch.save(network.state_dict(), …).")


def shorten(names: Iterable[str], limit: int = 8) -> str:
    """Lists the first few names, and counts the rest."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def canonical(name: str) -> str:
    """Returns a tensor's name without what wraps the encoder, one for all spellings."""
    # Programs wrap the encoder in different ways, and timm's feature extractors write stages_0 for stages.0.
    while name.startswith(("encoder.", "model.", "module.", "backbone.")):
        name = name.partition(".")[2]
    return name.replace("_", ".")

"""What a run was made of, in plain values: code, packages, machine and data."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from datamodules.cross_domain_data_module import CrossDomainDataModule
from datamodules.loaders import cores
from datamodules.side import Side

PACKAGES = (
    "segue",
    "torch",
    "lightning",
    "segmentation-models-pytorch",
    "timm",
    "albumentations",
    "torchmetrics",
    "numpy",
    "wandb",
)
"""The packages on which the numbers of a run depend, or where they are shown."""
_GIT_SECONDS = 5


def git_state() -> dict[str, str | bool] | None:
    """Returns the commit of the working directory's repository and whether tracked files differ from it.

    Returns:
        ``commit`` and ``dirty``; None where there is no repository with a commit, no git, or one that does not answer.
    """
    # One call tells both, and --no-optional-locks leaves the repository as it is.
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    commit, _, dirty = done.stdout.strip().partition("-")
    return {"commit": commit, "dirty": bool(dirty)}


def package_versions() -> dict[str, str]:
    """Returns the versions of ``PACKAGES``; those that are not installed are left out."""
    versions: dict[str, str] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def hardware(device: torch.device, count: int) -> dict[str, Any]:
    """Returns what a run trains on.

    Args:
        device: the device of this rank.
        count: the number of devices.

    Returns:
        ``cpu``, ``cores`` that this process may use, ``memory_gib`` of the machine, ``devices`` by name.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {"cpu": _cpu_name(), "cores": cores(), "memory_gib": round(memory / 2**30, 1), "devices": [name] * count}


def data_fingerprint(data: CrossDomainDataModule) -> dict[str, Any]:
    """Returns what tells two data sets apart without opening an image.

    Returns:
        For ``source`` and ``target`` by split, and for ``labelled_target``: ``images`` and ``sha256``, that of the
        names in order, each followed by a line feed. ``label_map``: ``sha256`` of each role's mapping of ids.
    """
    return {
        **{
            role: {split: _fingerprint(names) for split, names in splits.items()}
            for role, splits in data.splits().items()
        },
        "labelled_target": _fingerprint(data.labelled_names),
        "label_map": {role: _label_map_hash(side) for role, side in data.sides.items()},
    }


def _fingerprint(names: Iterable[str]) -> dict[str, int | str]:
    digest, images = hashlib.sha256(), 0
    for name in names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\n")
        images += 1
    return {"images": images, "sha256": digest.hexdigest()}


def _label_map_hash(side: Side) -> dict[str, str]:
    return {"sha256": hashlib.sha256(repr(list(side.label_maps.values())).encode()).hexdigest()}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())

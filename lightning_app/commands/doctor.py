"""``lightning doctor``: which versions are installed, and who took the name ``lightning``."""

import argparse
import platform
from collections.abc import Sequence
from importlib.metadata import distributions, version
from pathlib import Path

from rich.console import Console

from lightning_app import __version__

PACKAGES = ("torch", "torchvision", "lightning", "segmentation-models-pytorch", "albumentations", "torchmetrics")


def name_thieves() -> list[str]:
    """Returns one line for every other package that installed a script or an import name of ours."""
    lines = []
    for distribution in distributions():
        package = distribution.metadata["Name"]
        if package == "segue":
            continue
        scripts = [entry.name for entry in distribution.entry_points if entry.group == "console_scripts"]
        if "lightning" in scripts:
            lines.append(f"{package} also installs a command 'lightning'; use 'segue', or pip uninstall {package}.")
        if any(Path(str(file)).parts[:1] == ("lightning_app",) for file in distribution.files or []):
            lines.append(
                f"{package} also installs a package 'lightning_app': pip uninstall {package}, install segue again."
            )
    return lines


def main(args: Sequence[str]) -> None:
    """Prints the versions, the devices and every name that another package took.

    Args:
        args: none but ``--help``.
    """
    argparse.ArgumentParser("lightning doctor", description=__doc__).parse_args(args)
    import torch

    console = Console()
    console.print(f"segue {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for package in PACKAGES:
        console.print(f"{package} {version(package)}")
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    console.print(f"{torch.get_num_threads()} CPU threads, GPUs: {', '.join(gpus) or 'none'}")
    for line in name_thieves():
        console.print(f"[bold]{line}[/bold]")

"""The domains: datasets, label maps, transforms, samplers and the data modules."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# albumentations asks the network for a newer version when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

if TYPE_CHECKING:
    from datamodules.cross_domain_data_module import CrossDomainDataModule
    from datamodules.domain import Domain
    from datamodules.domain_data_module import DomainDataModule
    from datamodules.folder_domain import FolderDomain
    from datamodules.synthetic_streets import SyntheticStreets

__all__ = ["CrossDomainDataModule", "Domain", "DomainDataModule", "FolderDomain", "SyntheticStreets"]

_MODULES = {
    "CrossDomainDataModule": "cross_domain_data_module",
    "Domain": "domain",
    "DomainDataModule": "domain_data_module",
    "FolderDomain": "folder_domain",
    "SyntheticStreets": "synthetic_streets",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
    # Strategies import the types of a batch from here and should not pay for OpenCV and albumentations.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

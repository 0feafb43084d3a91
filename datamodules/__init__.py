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
    from datamodules.presets import (
        ACDC,
        GTA5,
        CamVid,
        CamVid11,
        Cityscapes,
        DarkZurich,
        LoveDA,
        PascalVOC,
        Synthia,
    )
    from datamodules.synthetic_streets import SyntheticStreets
    from datamodules.table_domain import TableDomain

__all__ = [
    "ACDC",
    "GTA5",
    "CamVid",
    "CamVid11",
    "Cityscapes",
    "CrossDomainDataModule",
    "DarkZurich",
    "Domain",
    "DomainDataModule",
    "FolderDomain",
    "LoveDA",
    "PascalVOC",
    "SyntheticStreets",
    "Synthia",
    "TableDomain",
]

_MODULES = {
    "ACDC": "presets",
    "GTA5": "presets",
    "CamVid": "presets",
    "CamVid11": "presets",
    "Cityscapes": "presets",
    "CrossDomainDataModule": "cross_domain_data_module",
    "DarkZurich": "presets",
    "Domain": "domain",
    "DomainDataModule": "domain_data_module",
    "FolderDomain": "folder_domain",
    "LoveDA": "presets",
    "PascalVOC": "presets",
    "SyntheticStreets": "synthetic_streets",
    "Synthia": "presets",
    "TableDomain": "table_domain",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
    # Strategies import the types of a batch from here and should not pay for OpenCV and albumentations.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

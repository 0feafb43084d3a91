"""The configs that pair the benchmarks, on trees in their layouts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from benchmark_trees import make_acdc, make_cityscapes, make_dark_zurich, make_gta5, make_loveda, make_synthia
from jsonargparse import ArgumentParser
from lightning import LightningDataModule

import datamodules.presets  # noqa: F401 - short names
from datamodules import CrossDomainDataModule
from datamodules.presets.labels import CITYSCAPES_CLASSES

CONFIGS = Path(__file__).parents[3] / "configs/data"
MAKERS: dict[str, Callable[[Path], None]] = {
    "data/acdc": make_acdc,
    "data/cityscapes": make_cityscapes,
    "data/dark_zurich": make_dark_zurich,
    "data/gta5": make_gta5,
    "data/loveda": make_loveda,
    "data/synthia/RAND_CITYSCAPES": make_synthia,
}
# Images of the tree: training, validation, test.
COUNTS = {
    "gta5_to_cityscapes": ((9, 1, 0), (2, 1, 1)),
    "synthia_to_cityscapes": ((9, 1, 0), (2, 1, 1)),
    "cityscapes_to_acdc": ((2, 1, 1), (4, 4, 4)),
    "cityscapes_to_dark_zurich": ((2, 1, 1), (2, 1, 1)),
    "loveda_rural_to_urban": ((1, 1, 1), (1, 1, 1)),
}


def make_data(config: str, folder: Path) -> CrossDomainDataModule:
    """Makes the trees where the config looks for them, and the data module as the command line would."""
    settings: dict[str, Any] = yaml.safe_load((CONFIGS / f"{config}.yaml").read_text())["data"]
    for role in ("source", "target"):
        root = settings["init_args"][role]["init_args"]["root"]
        if not (folder / root).exists():
            MAKERS[root](folder / root)
    settings["init_args"]["workers"] = 0
    parser = ArgumentParser()
    parser.add_argument("--data", type=LightningDataModule)
    made: CrossDomainDataModule = parser.instantiate_classes(parser.parse_object({"data": settings})).data
    return made


@pytest.mark.filterwarnings("ignore:classes absent")
@pytest.mark.parametrize("config", COUNTS)
def test_a_config_finds_the_splits(config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = make_data(config, tmp_path)
    data.setup("fit")
    found = data.splits()
    assert [tuple(len(found[role][split]) for split in ("train", "val", "test")) for role in ("source", "target")] == [
        *COUNTS[config]
    ]
    labelled = {
        (role, split): any(map(data.domains[role].has_mask, found[role][split]))
        for role in ("source", "target")
        for split in ("val", "test")
    }
    assert labelled["source", "val"] and labelled["target", "val"]
    assert not labelled["target", "test"]  # no benchmark gives the labels of its target's test away


@pytest.mark.parametrize("config", [config for config in COUNTS if "loveda" not in config])
def test_the_classes_of_a_street_config_are_the_19_in_their_order(config: str) -> None:
    classes = yaml.safe_load((CONFIGS / f"{config}.yaml").read_text())["data"]["init_args"]["classes"]
    assert classes == CITYSCAPES_CLASSES


def test_every_pair_is_tested() -> None:
    pairs = {path.stem for path in CONFIGS.glob("*_to_*.yaml")}
    assert pairs == COUNTS.keys()

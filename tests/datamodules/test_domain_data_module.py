from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules import CrossDomainDataModule, DomainDataModule

MakeFolder = Callable[..., Path]
CLASSES = ["road", "car", "sky"]


def test_one_domain_in_either_role(make_folder: MakeFolder) -> None:
    root = str(make_folder("target", 10))
    source = DomainDataModule(root, role="source", classes=CLASSES)
    train = source.splits()["source"]["train"]
    assert source.streams(["source"], ["target", "labelled_target"]) == {"source": train}
    target = DomainDataModule(root, classes=CLASSES, labels=2)
    assert set(target.streams(["target"], ["source", "labelled_target"])) == {"target", "labelled_target"}
    assert target.labelled_names == CrossDomainDataModule(None, root, CLASSES, labels=2).labelled_names


def test_errors_name_the_key_of_the_one_domain(make_folder: MakeFolder) -> None:
    data = DomainDataModule(str(make_folder("target", 3, classes=4)), role="source", classes=CLASSES)
    with pytest.raises(ValueError, match=r"source mask .* Map it in data\.init_args\.domain\.init_args\.label_map"):
        data.setup("fit")

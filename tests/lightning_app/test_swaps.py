"""Swapping a class by one line: nothing is carried over."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lightning_app.cli import main


def test_a_swapped_class_carries_nothing_over(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    focal = config.parent / "focal.yaml"
    focal.write_text(
        "model:\n  strategy:\n    class_path: FineTune\n    init_args:\n"
        "      criterion: {class_path: Focal, init_args: {gamma: 5.0}}\n"
    )
    with pytest.raises(SystemExit):
        main(
            [
                "fit",
                "--config",
                str(config),
                "--config",
                str(focal),
                "--model.strategy",
                "SourceOnly",
                "--model.optimizer",
                "SGD",
                "--model.optimizer.lr",
                "0.1",
                "--print_config",
            ]
        )
    shown = capsys.readouterr()
    printed = yaml.safe_load(shown.out)["model"]
    assert printed["strategy"]["init_args"] == {"criterion": None}
    assert printed["optimizer"]["init_args"]["weight_decay"] == 0
    assert "SourceOnly takes the place of FineTune" in shown.err and "criterion" in shown.err


FREEZING = """
model:
  strategy:
    class_path: PartialFreezing
    init_args:
      train: [head]
      base:
        class_path: FineTune
        init_args: {also_source: true, criterion: {class_path: Focal, init_args: {gamma: 5.0}}}
"""


@pytest.mark.parametrize(
    ("swap", "kept", "dropped"),
    [
        # A wrapper by a method, a wrapper's base by another, and a class by its subclass.
        (["--model.strategy", "EntropyMinimization"], {"weight": 0.001, "criterion": None}, "train, base"),
        (["--model.strategy.base", "SourceOnly"], {"criterion": None}, "also_source, criterion"),
        (["--model.strategy", "mine.Mine"], {"base": None, "train": ["decoder", "head"], "thaw": None}, "train, base"),
    ],
)
def test_a_swapped_wrapper_or_base_carries_nothing_over(
    swap: list[str], kept: dict[str, Any], dropped: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("freezing.yaml").write_text(FREEZING)
    Path("mine.py").write_text("from strategies import PartialFreezing\n\n\nclass Mine(PartialFreezing):\n    pass\n")
    sys.modules.pop("mine", None)
    with pytest.raises(SystemExit):
        main(["fit", "--config", str(config), "--config", "freezing.yaml", *swap, "--print_config"])
    shown = capsys.readouterr()
    strategy = yaml.safe_load(shown.out)["model"]["strategy"]
    if "base" in swap[0]:
        assert strategy["init_args"]["train"] == ["head"]
        strategy = strategy["init_args"]["base"]
    assert {name: strategy["init_args"][name] for name in kept} == kept
    assert f"whose {dropped} are dropped" in shown.err


def test_any_config_takes_another_strategy_by_one_option(config: Path) -> None:
    base = ["--model.strategy.base", "AdversarialAlignment", "--model.strategy.base.level", "entropy"]
    main(["fit", "--config", str(config), "--run", "x", "--model.strategy", "PartialFreezing", *base])
    saved = torch.load("runs/x/checkpoints/last.ckpt", weights_only=True)["segue"]
    assert saved["strategy"] == "PartialFreezing(AdversarialAlignment)"

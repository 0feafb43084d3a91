"""Runs of a W&B project; its API stands in for the server, which needs an account."""

from dataclasses import dataclass
from typing import Any

import pytest

from lightning_app.compare.comparison import Comparison
from lightning_app.compare.wandb_project import read_project


@dataclass
class Found:
    """What the API gives of a run."""

    name: str
    config: dict[str, Any]
    summary: dict[str, Any]
    id: str = "abc"

    def history(self, samples: int, pandas: bool) -> list[dict[str, Any]]:
        assert samples and not pandas
        return [
            {"_step": 5, "trainer/global_step": 49, "val/target/miou": 0.25, "train/loss/total": None},
            {"_step": 9, "trainer/global_step": 99, "val/target/miou": 0.5, "train/loss/total": 1.5, "epoch": 3},
        ]


class Api:
    def __init__(self, runs: list[Found]) -> None:
        self.found = runs

    def runs(self, path: str) -> list[Found]:
        if path != "team/streets":
            raise RuntimeError(f"{path} not found")
        return self.found


def found(name: str, strategy: str, miou: float, seed: int = 0, **more: Any) -> Found:
    config = {
        "model.strategy.class_path": f"strategies.{strategy}",
        "seed_everything": seed,
        "data.init_args.labels": "none",
    }
    best_and_last = {"max": 0.9, "last": miou}
    return Found(name, config | more, {"test/target/miou": best_and_last, "test/target/iou/Car": 0.25, "epoch": 3})


def test_a_project_is_compared_as_far_as_it_goes() -> None:
    record = {"record.seconds": 60.0, "record.labels_used": 0}
    api = Api([found("a", "SourceOnly", 0.25), found("b", "ClassMix", 0.5, **record), Found("else", {"lr": 1}, {})])
    comparison = Comparison(read_project("team/streets", api))
    assert [method.name for method in comparison.methods] == ["ClassMix", "SourceOnly"]
    assert comparison.stage == "test" and list(comparison.groups) == [0]
    mix = comparison.methods[0]
    assert mix.scores("test", "target") == [0.5] and mix.scores("test", "target", "IoU Car") == [0.25]
    assert mix.recorded("seconds") == [60.0] and "record.seconds" not in mix.settings
    assert mix.runs[0].curves["val/target/miou"].steps.tolist() == [50, 100]
    assert mix.runs[0].curves["train/loss/total"].values.tolist() == [1.5]
    difference = comparison.difference(mix, comparison.methods[1])
    assert difference is not None and difference.verdict == "unknown"


def test_a_project_that_cannot_be_read_is_told_with_the_mend() -> None:
    with pytest.raises(ValueError, match=r"wandb:team/other cannot be read: team/other not found.*wandb login"):
        read_project("team/other", Api([]))
    with pytest.raises(ValueError, match=r"wandb:team/streets has no run of Segue"):
        read_project("team/streets", Api([Found("else", {"lr": 1}, {})]))

"""The sweep files: what W&B's agent makes of them, our command line takes."""

from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import wandb.wandb_agent
import yaml

from lightning_app.cli import main
from lightning_app.metrics import metric_names

ROOT = Path(__file__).parents[1]
SWEEPS = sorted((ROOT / "configs/sweep").glob("*.yaml"))


def trials(parameters: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """As many trials as it takes for each listed value and both ends of each range to be in one."""
    ends: dict[str, list[Any]] = {}
    for name, one in parameters.items():
        ends[name] = (
            one["values"] if "values" in one else [one["value"]] if "value" in one else [one["min"], one["max"]]
        )
    return [
        {name: values[0] if value is None else value for (name, values), value in zip(ends.items(), row, strict=True)}
        for row in zip_longest(*ends.values())
    ]


def expanded(sweep: dict[str, Any], values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What W&B's agent would start."""
    started: list[list[str]] = []

    class Process:
        def __init__(self, command: list[str], **settings: Any) -> None:
            started.append(command)

    monkeypatch.setattr(wandb.wandb_agent, "AgentProcess", Process)
    agent = wandb.wandb_agent.Agent(api=None, queue=None, sweep_id="sweep")
    agent._sweep_command = list(sweep["command"])
    args = {name: {"value": value} for name, value in values.items()}
    agent._command_run({"run_id": "trial", "program": sweep["program"], "args": args})
    return started[0]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_command_of_every_trial_is_one_of_ours(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.setenv(name, "")  # the agent sets them, and they shall not stay
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.chdir(ROOT)
    sweep = yaml.safe_load(path.read_text())
    assert sweep["metric"]["name"] in [
        name for side in ("source", "target") for name in metric_names(f"val/{side}", [])
    ]
    for values in trials(sweep["parameters"]):
        program, *command = expanded(sweep, values, monkeypatch)
        assert program == "/usr/bin/env" and command[:2] == ["lightning", "fit"]
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([*command[1:], "--print_config"])
        shown = capsys.readouterr()
        assert left.value.code == 0, shown.err
        config = yaml.safe_load(shown.out)
        for name, value in values.items():
            found = config
            for key in name.split("."):
                found = found[key]
            if isinstance(found, dict):  # a class by its short name
                found = found["class_path"].rpartition(".")[-1]
            assert found == value, name
        assert config["trainer"]["logger"]["class_path"].endswith("WeightsAndBiases")


def test_there_is_one_for_every_family() -> None:
    assert [path.stem for path in SWEEPS] == ["alignment", "fine_tuning", "self_training", "statistics_and_style"]

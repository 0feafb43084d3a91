"""The view of a W&B project, down to the document that would be sent."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from refusals import refused

from lightning_app.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style")  # wandb-workspaces' own


@pytest.fixture
def sent(tmp_path: Path, no_network: list[str]) -> Any:
    main(
        ["workspace", "--entity", "us", "--project", "streets", "--name", "day", "--dry_run", str(tmp_path / "v.json")]
    )
    assert not no_network
    return json.loads((tmp_path / "v.json").read_text())


def test_the_document_is_one_of_the_packages_own_and_has_the_names_that_runs_log(sent: Any) -> None:
    from wandb_workspaces.workspaces.internal import View

    view = View.model_validate(sent)
    assert (view.entity, view.project, view.display_name) == ("us", "streets", "day")
    assert json.loads(view.model_dump_json(by_alias=True, exclude_none=True)) == sent

    sections = sent["spec"]["section"]["panelBankConfig"]["sections"]
    panels = {
        panel["config"].get("chartTitle", panel["viewType"]): panel for one in sections for panel in one["panels"]
    }
    plots = {title: panel["config"] for title, panel in panels.items() if panel["viewType"] == "Run History Line Plot"}
    assert {plot["xAxis"] for plot in plots.values()} == {"trainer/global_step"}
    shown = {
        name: [title for title, plot in plots.items() if re.search(plot["metricRegex"], name)]
        for name in (
            "val/target/miou",
            "val/source/miou",
            "val/target/miou_shared",
            "val/target/iou/road",
            "val/target/iou/traffic light",
            "val/target/ece",
            "val/target/over_source_only",
            "val/target/unsupervised/snd",
            "train/loss/pseudo_labels",
            "train/lr/encoder",
            "train/images_per_second",
            "train/discriminator_accuracy/source",
            "val/target/pseudo_labels/precision",
            "train/pseudo_labels/agreement",
            "train/pseudo_labels/coverage/road",
        )
    }
    assert shown.pop("val/target/miou_shared") == []
    assert {name: len(titles) for name, titles in shown.items()} == dict.fromkeys(shown, 1)
    assert shown["val/target/iou/road"] == ["IoU by class, target"]
    assert any(panel["viewType"] == "Media Browser" and panel["config"]["mediaKeys"] for panel in panels.values())


def test_the_table_is_grouped_by_domain_pair_and_strategy_the_best_first(sent: Any) -> None:
    (runs,) = sent["spec"]["section"]["runSets"]
    assert [(key["section"], key["name"]) for key in runs["grouping"]] == [("run", "group"), ("run", "tags")]
    (order,) = runs["sort"]["keys"]
    assert (order["key"]["section"], order["key"]["name"]) == ("summary", "val/target/miou.last")
    assert not order["ascending"]
    assert "summary:val/target/miou.max" in runs["runFeed"]["columnOrder"]


def test_without_a_key_it_says_so_and_asks_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert "wandb login" in refused(capsys, "workspace", "--entity", "us")

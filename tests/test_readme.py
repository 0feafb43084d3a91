"""What the pages show runs, word for word."""

import re
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tiny import NETWORK

from lightning_app.cli import main
from lightning_app.commands.strategies import COLUMNS, describe, methods
from lightning_app.selection import UNSUPERVISED

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "strategies/README.md"]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_the_method_of_the_page_trains(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands, in a file of an empty folder, named in a config."""
    method = next(block for block in blocks(page, "python") if "class MyMethod" in block)
    config = next(block for block in blocks(page, "yaml") if "my_method.MyMethod" in block)
    assert len(method.splitlines()) <= 20
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "my_method", None)  # and so taken out again afterwards
    del sys.modules["my_method"]
    Path("my_method.py").write_text(method)
    Path("mine.yaml").write_text(config)
    streets = {"class_path": "SyntheticStreets", "init_args": {"size": [32, 48], "train": 4, "val": 1, "test": 1}}
    data = {"source": streets, "target": streets, "crop": [32, 32], "batch_size": 2, "workers": 0}
    Path("tiny.yaml").write_text(yaml.safe_dump({"model": NETWORK, "data": {"init_args": data}}))
    quiet = ["--trainer.accelerator", "cpu", "--trainer.max_steps", "2", "--trainer.enable_progress_bar", "false"]
    main(["fit", "--config", "tiny.yaml", "--config", "mine.yaml", *quiet, "--run", "mine"])
    checkpoint = torch.load("runs/mine/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["segue"]["strategy"] == "MyMethod" and checkpoint["global_step"] == 2
    assert yaml.safe_load(Path("runs/mine/config.yaml").read_text())["model"]["strategy"]["init_args"] == {
        "weight": 0.01
    }


def test_the_table_of_methods_is_what_the_command_prints() -> None:
    rows = [
        tuple(cell.strip(" `") for cell in line.strip("|").split(" | "))
        for line in (ROOT / "strategies/README.md").read_text().splitlines()
        if line.startswith("|") and not line.startswith("|---")
    ]
    assert rows == [COLUMNS, *(describe(method) for method in methods())]


def test_every_domain_of_the_page_of_data_sets_is_one_that_the_command_line_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = blocks("docs/datasets.md", "yaml")
    assert len(shown) > 10
    for block in shown:
        settings = yaml.safe_load(block)
        settings = settings if "data" in settings else {"data": {"init_args": settings}}
        Path("shown.yaml").write_text(yaml.safe_dump(settings))
        with pytest.raises(SystemExit) as left:
            main(["fit", "--config", str(ROOT / "configs/base.yaml"), "--config", "shown.yaml", "--print_config"])
        said = capsys.readouterr()
        assert left.value.code in (0, None), f"{block}{said.err}"


def test_the_page_of_selection_names_every_score_and_the_mode_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/selection.md").read_text()
    modes = re.findall(r"^\| `(\w+)` \|.*\(`(max|min)`\) \|", text, flags=re.MULTILINE)
    assert dict(modes) == UNSUPERVISED
    [block] = blocks("docs/selection.md", "yaml")
    Path("shown.yaml").write_text(block)
    with pytest.raises(SystemExit) as left:
        main(["fit", "--config", str(ROOT / "configs/base.yaml"), "--config", "shown.yaml", "--print_config"])
    assert left.value.code in (0, None), capsys.readouterr().err


@pytest.mark.parametrize(
    "page",
    [
        *(*PAGES, "benchmarks/README.md", "CONTRIBUTING.md"),
        *(f"docs/{name}.md" for name in ("datasets", "check", "selection", "rank")),
    ],
)
def test_every_file_and_target_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    for path in re.findall(r"\]\(([^)h#][^)]*)\)|(?<![\w/])(configs/[\w/]+\.yaml)", text):
        place = (ROOT / page).parent / path[0].partition("#")[0] if path[0] else ROOT / path[1]
        assert place.exists(), path
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"`?make ([a-z]+)", text)) <= set(targets) | {"NAME"}

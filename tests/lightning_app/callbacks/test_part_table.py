"""The table at the start of a run."""

from pathlib import Path

import pytest

from lightning_app.cli import main


def test_a_run_begins_with_what_trains_and_how_fast(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    freezing = ["--model.strategy", "PartialFreezing", "--model.strategy.thaw", "{encoder.2: 2, encoder.1: 9}"]
    main(["fit", "--config", str(config), "--run", "x", *freezing, "--data.labels", "all"])
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    table = {row[0]: row[1:] for row in rows if len(row) == 5}
    assert table["encoder.0"] == ["9,536", "0", "–", "frozen"]
    assert table["encoder.1"] == ["147,968", "147,968", "–", "after the end"]
    assert table["encoder.2"][1:] == [table["encoder.2"][0], "5.0e-04", "2"]
    assert table["head"][1:] == [table["head"][0], "5.0e-04", "0"]

"""The doctor names the package that took our names."""

import sys
from pathlib import Path

import pytest

from lightning_app.cli import main
from lightning_app.commands.doctor import name_thieves


def test_a_package_that_takes_our_names_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = name_thieves()
    folder = tmp_path / "thief-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: thief\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[console_scripts]\nlightning = thief:main\n")
    (folder / "RECORD").write_text("lightning_app/__init__.py,,\n")
    (tmp_path / "lightning_app").mkdir()
    (tmp_path / "lightning_app" / "__init__.py").touch()  # Python 3.12 passes over files that are not there
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    new = [line for line in name_thieves() if line not in before]
    assert len(new) == 2
    assert "use 'segue', or pip uninstall thief" in new[0]
    assert "also installs a package 'lightning_app'" in new[1]


def test_the_doctor_shows_the_versions(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    shown = capsys.readouterr().out
    assert "segue 0.1.0" in shown and "segmentation-models-pytorch" in shown and "GPUs:" in shown

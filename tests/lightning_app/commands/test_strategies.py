"""The list of methods in a terminal."""

import pytest

from lightning_app.cli import main


def test_strategies_lists_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    main(["strategies"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("AdversarialAlignment", "PartialFreezing", "SourceOnly"))

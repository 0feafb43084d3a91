"""Commands that shall be refused."""

import pytest

from lightning_app.cli import main


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(args)
    assert left.value.code in (1, 2)
    return capsys.readouterr().err

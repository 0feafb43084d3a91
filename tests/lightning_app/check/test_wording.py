"""Numbers as a reader wants them."""

import pytest

from lightning_app.check.wording import duration, percent, ratio, size


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.3149, "31 %"), (0.0241, "2.4 %"), (0.00081, "0.081 %"), (0.00001, "< 0.01 %"), (0.0, "0 %"), (1.0, "100 %")],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "0.012 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (250, "4 min 10 s"),
        (3599, "1 h 0 min"),
        (26_400, "7 h 20 min"),
        (200_000, "2 d 8 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12 bytes"), (2048, "2 KiB"), (5 * 2**20, "5 MiB"), (2**31, "2.0 GiB")]
)
def test_size(count: int, text: str) -> None:
    assert size(count) == text


def test_ratio() -> None:
    assert ratio(0.3, 0.1) == "× 3.0" and ratio(0.001, 0.1) == "× 0.01"
    assert ratio(0.0, 0.1) == "only source" and ratio(0.1, 0.0) == "only target" and ratio(0.0, 0.0) == "–"

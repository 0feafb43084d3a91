"""The page as a reader clicks through it; ``make test-browser``."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from run_folders import write_run

from datamodules import SyntheticStreets
from lightning_app.cli import main

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five methods with three seeds each, as they come from the benchmark."""
    folder = tmp_path_factory.mktemp("page")
    streets = SyntheticStreets(look="dusk", size=(120, 160))
    photographs = [
        ("target", name, np.asarray(streets.read_image(name)), np.asarray(streets.read_mask(name)))
        for name in streets.names("val")[:3]
    ]
    for seed in range(3):
        for strategy, quality in (
            ("SourceOnly", 0.4),
            ("AdversarialAlignment", 0.42),
            ("ClassMix", 0.6),
            ("MaskedConsistency(ClassMix)", 0.65),
        ):
            write_run(
                folder / f"{strategy}{seed}", strategy, seed, quality, photographs=photographs, classes=streets.classes
            )
        write_run(
            folder / f"tuned{seed}", "FineTune", seed, 0.9, "all", labels_used=40, photographs=photographs,
            classes=streets.classes,
        )  # fmt: skip
    main(["compare", str(folder), "--output", str(folder / "page.html")])
    return folder / "page.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("dark", [False, True])
def test_it_opens_without_a_network_at_any_width(page: Path, browser: Browser, width: int, dark: bool) -> None:
    browser.requests.clear()
    browser.open(page, width, dark)
    assert browser.run("document.querySelectorAll('.plot .main-svg').length") >= 2
    assert browser.run("document.documentElement.scrollWidth") == width  # what is wide scrolls within itself
    assert browser.run("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    assert all(address.startswith(("file:", "data:")) for address in browser.requests)
    assert browser.problems == []


def test_the_toggles_change_what_is_shown(page: Path, browser: Browser) -> None:
    browser.open(page, 1400)
    background = "getComputedStyle(document.body).backgroundColor"
    font = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    before = browser.run(background), browser.run(font)
    browser.click("#theme")
    assert all(one != other for one, other in zip((browser.run(background), browser.run(font)), before, strict=True))

    axis = "document.querySelector('[data-figures=bars] .xtitle').textContent"
    assert browser.run(axis) == "percentage points of IoU"
    browser.click("input[name=bars][value=source] + span")
    assert browser.run(axis) == "IoU in percent"

    lines = "document.querySelectorAll('[data-figures=curves] .scatterlayer .trace').length"
    assert browser.run(lines) == 10  # five bands and five means
    browser.click("input[name=curves][value=runs] + span")
    assert browser.run(lines) == 15

    tiles = "[...document.querySelectorAll('#tiles .over')].map(image => image.src)"
    predictions = browser.run(tiles)
    assert len(predictions) == 6 and len(set(predictions)) == 6  # the truth, and five methods
    browser.click("input[name=layer][value=truth] + span")
    assert len(set(browser.run(tiles))) == 1
    browser.click("input[name=layer][value=prediction] + span")
    browser.click("#next")
    assert not set(browser.run(tiles)) & set(predictions)
    browser.click("#previous")
    assert browser.run(tiles) == predictions
    third = "const seed = document.querySelector('#seed'); seed.value = 2;"
    browser.run(f"{third} seed.dispatchEvent(new Event('input', {{bubbles: true}}))")
    assert len(set(browser.run(tiles)) & set(predictions)) == 1  # the truth
    browser.click("#opacity")
    assert browser.run("[...document.querySelectorAll('#tiles .over')].map(image => image.style.opacity)[0]") == "0.5"
    assert browser.run("[...document.querySelectorAll('#tiles img')].every(image => image.naturalWidth > 0)")
    assert browser.problems == []

"""The page and its pictures, as far as they can be read without a browser; ``test_browser.py`` clicks."""

import base64
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from run_folders import CLASSES, write_run

from lightning_app.cli import main
from lightning_app.compare.method import methods_of
from lightning_app.compare.panels import panels
from lightning_app.compare.reading import read_runs
from lightning_app.pictures import class_colors, colorize

STRANGE = "</script><script>alert('x')</script><b>&\""
PHOTOGRAPH = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
MASK = np.kron(np.arange(12).reshape(3, 4) % 3, np.ones((16, 16))).astype(np.uint8)


class Page(HTMLParser):
    """The tags and the text of a page, and the content of its scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.within = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag != "wbr":
            self.within = tag

    def handle_data(self, data: str) -> None:
        if self.within == "script":
            self.scripts.append(data)
        elif self.within != "style":
            self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.within = ""


def embedded(address: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    classes = [STRANGE, *CLASSES[1:]]
    photographs = [("target", STRANGE, PHOTOGRAPH, MASK), ("source", "plain", PHOTOGRAPH, MASK)]
    for seed in range(2):
        write_run(folder / f"runs/source{seed}", seed=seed, quality=0.4, classes=classes, photographs=photographs)
        write_run(
            folder / f"runs/<i>{seed}", "ClassMix", seed, 0.7, classes=classes, photographs=photographs,
            settings={"mix": STRANGE},
        )  # fmt: skip
    main(["compare", str(folder / "runs"), "--output", str(folder / "page.html"), "--csv", str(folder / "table.csv")])
    return folder


def test_three_files_are_written(made: Path) -> None:
    assert {path.name for path in made.iterdir()} == {"runs", "page.html", "page.md", "table.csv"}
    assert (made / "page.html").stat().st_size < 15e6


def test_the_page_needs_no_other_file(made: Path) -> None:
    page = Page(made / "page.html")
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "base", "object", "embed")
        for name in ("src", "href", "srcset", "action", "poster"):
            assert (attributes.get(name) or "data:").startswith("data:")
    policy = next(attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes)
    assert policy is not None and policy.startswith("default-src 'none'") and "http" not in policy
    style = (made / "page.html").read_text().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style


def test_names_of_users_are_text(made: Path) -> None:
    page = Page(made / "page.html")
    assert sum(tag == "script" for tag, _ in page.tags) == 4
    assert not any(tag in ("b", "i") for tag, _ in page.tags)
    text = "".join(page.text)
    assert STRANGE in text and f"target: {STRANGE}" in text
    figures = json.loads(page.scripts[0])
    classes = figures["bars"]["target"]["data"][0]["y"]
    # Plotly reads tags in its texts, and knows no entities for quotation marks.
    assert classes[0] == "&lt;/script&gt;&lt;script&gt;alert('x')&lt;/script&gt;&lt;b&gt;&amp;\""


def test_the_charts_hold_the_scores(made: Path) -> None:
    figures = json.loads(Page(made / "page.html").scripts[0])
    assert list(figures["bars"]) == ["target, over the baseline", "target", "source"]
    assert list(figures["curves"])[:2] == ["val/target/miou", "val/source/miou"]
    assert {"train/loss/segmentation", "train/loss/total"} < set(figures["curves"])
    curve = figures["curves"]["val/target/miou"]
    assert [line["name"] for line in curve["runs"]["data"]] == ["ClassMix"] * 2 + ["SourceOnly"] * 2
    # A band and a line for each method.
    assert [line.get("fill") for line in curve["methods"]["data"]] == ["toself", None] * 2


def test_pictures_are_embedded_once_and_masks_as_they_are(made: Path) -> None:
    methods = methods_of(read_runs([made / "runs"]))
    found = panels(methods)
    assert [image["domain"] for image in found["images"]] == ["target", "source"]
    assert found["layers"] == ["image", "truth", "prediction", "difference", "confidence"]
    cells = [cells for image in found["images"] for seeds in image["cells"].values() for cells in seeds.values()]
    assert len(cells) == 8
    assert len({one["truth"] for one in cells}) == len({one["image"] for one in cells}) == 1
    assert len({one["prediction"] for one in cells}) > 1
    assert found["left_out"] == 0
    assert np.array_equal(
        embedded(found["files"][cells[0]["truth"]]), colorize(MASK, class_colors([STRANGE, *CLASSES[1:]]))
    )


def test_a_page_that_would_be_too_large_keeps_the_first_seeds(made: Path) -> None:
    methods = methods_of(read_runs([made / "runs"]))
    whole = sum(map(len, panels(methods)["files"].values()))
    found = panels(methods, budget=whole - 1)
    assert found["left_out"] > 0 and sum(map(len, found["files"].values())) < whole
    assert all("0" in seeds for image in found["images"] for seeds in image["cells"].values())


def test_a_fit_without_validations_has_the_pictures_of_a_validation_afterwards(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", photographs=[("target", "one", PHOTOGRAPH, MASK)])
    (run / "pictures/last").rename(run / "pictures/validate")
    [picture] = read_runs([run])[0].pictures
    assert picture.name == "one" and picture.cells["prediction"].is_file()


def test_large_cells_are_made_smaller(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", photographs=[("target", "one", PHOTOGRAPH, MASK)])
    Image.fromarray(np.zeros((1000, 2000, 3), dtype=np.uint8)).save(run / "pictures/last/target_0_image.webp")
    (run / "pictures/last/target_0_truth.webp").unlink()
    methods = methods_of(read_runs([run]))
    found = panels(methods)
    cells = found["images"][0]["cells"]["0"]["0"]
    assert list(cells) == ["image", "prediction", "difference", "confidence"]
    assert embedded(found["files"][cells["image"]]).shape == (320, 640, 3)
    assert "target_0_truth.webp" in methods[0].runs[0].missing[-1].what


def test_help_comes_at_once() -> None:
    script = (
        "import sys\nfrom lightning_app.cli import main\n"
        "try: main(['compare', '--help'])\nexcept SystemExit as e: code = e.code\n"
        "assert not {'torch', 'plotly', 'wandb'} & set(sys.modules), 'heavy import'\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    assert re.search(r"wandb:entity/project", done.stdout)

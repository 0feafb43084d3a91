"""The README's own code runs."""

import re
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


def test_the_method_of_the_page_trains(make_data: Any, make_segmenter: Any, make_trainer: Any) -> None:
    names: dict[str, Any] = {}
    exec(next(block for block in blocks("python") if "class MyMethod" in block), names)
    segmenter = make_segmenter(names["MyMethod"]())
    before = [parameter.detach().clone() for parameter in segmenter.parameters()]
    make_trainer(max_steps=1, limit_val_batches=0).fit(segmenter, make_data())
    assert any(not torch.equal(a, b) for a, b in zip(segmenter.parameters(), before, strict=True))


def test_every_file_and_target_that_the_page_names_exists() -> None:
    text = (ROOT / "README.md").read_text()
    for path in re.findall(r"\]\(([^)h#][^)]*)\)|(?<![\w/])(configs/[\w/]+\.yaml)", text):
        assert (ROOT / (path[0] or path[1])).exists(), path
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"`?make ([a-z]+)", text)) <= set(targets)

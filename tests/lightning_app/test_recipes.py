"""The recipes of the papers: each trains by one command, where the data lies."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from benchmark_trees import make_cityscapes, make_gta5

from datamodules.presets.labels import CITYSCAPES_CLASSES
from lightning_app.cli import main

RECIPES = sorted((Path(__file__).parents[2] / "configs/recipes").glob("*.yaml"))

# A tiny encoder of the same family, and what suits small crops of tiny images. DAFormer leaves out 135
# rows of each crop.
SMALL = {
    "resnet101": ["--model.encoder", "resnet18", "--data.crop", "[64, 64]"],
    "mit_b5": [
        *("--model.encoder", "mit_b0", "--data.crop", "[160, 64]"),
        *("--data.rare_class_sampling.minimum_pixels", "1"),
    ],
}
OPTIONS = ["--model.encoder_weights", "null", "--data.workers", "0", "--run", "short"]
TRAINER = ["accelerator=cpu", "max_steps=1", "limit_val_batches=0", "enable_progress_bar=false"]


@pytest.mark.filterwarnings("ignore:classes absent", "ignore:stream .* has fewer images", "ignore:.*those of chance")
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains_by_one_command(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "cache"))
    make_gta5(tmp_path / "data/gta5")
    make_cityscapes(tmp_path / "data/cityscapes")
    small = SMALL[yaml.safe_load(recipe.read_text())["model"]["encoder"]]
    main(["fit", "--config", str(recipe), *small, *OPTIONS, *(f"--trainer.{option}" for option in TRAINER)])
    checkpoint = torch.load("runs/short/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 1 and checkpoint["segue"]["network"]["classes"] == CITYSCAPES_CLASSES


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_names_its_paper_its_score_and_what_differs(recipe: Path) -> None:
    text = recipe.read_text()
    header = text[: text.index("seed_everything")]
    assert re.search(r"Published: \d\d\.\d+ mIoU", header) and "https://arxiv.org/abs/" in header
    assert f"configs/recipes/{recipe.name}" in header and "# Different:" in header and "Not run on the real" in header


@pytest.mark.parametrize("name", ["daformer", "mic"])
def test_sizes_of_daformer_are_those_of_its_code(name: str) -> None:
    recipe = next(path for path in RECIPES if path.stem.endswith(f"_{name}"))
    scale = yaml.safe_load(recipe.read_text())["data"]["init_args"]["scale"]
    wanted = min(1280 / 1914, 720 / 1052)  # mmcv.imrescale: both sides fit into 1280 × 720, and the ratio stays
    for side in (1914, 1052):
        assert [round(side * factor) for factor in scale["source"]] == [round(side * wanted)] * 2
    assert scale["target"] == [0.5, 0.5]

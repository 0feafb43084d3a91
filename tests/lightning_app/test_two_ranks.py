"""Two ranks on the CPU under plain ddp: equal parameters, the mean of the ranks' gradients, one confusion matrix."""

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import wandb_file
import yaml
from kept_display import KeptDisplay

from lightning_app.callbacks.validation_panel import ValidationPanel
from strategies.components.batch_statistics import recompute_statistics

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("two_ranks.py")
_spec = spec_from_file_location("two_ranks", SCRIPT)
assert _spec is not None and _spec.loader is not None
two_ranks = module_from_spec(_spec)
_spec.loader.exec_module(two_ranks)

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def run(*command: str, cwd: Path | None = None) -> str:
    # The packages of this checkout, whichever is installed.
    paths = os.pathsep.join([str(ROOT), str(Path(tiny.__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=cwd)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of the two ranks saw; one pair of processes runs all cases."""
    folder = tmp_path_factory.mktemp("ranks")
    run(*TORCHRUN, str(SCRIPT), str(folder))
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("name", two_ranks.CASES)
def test_the_ranks_move_and_stay_equal(name: str, ranks: list[dict[str, Any]]) -> None:
    first, second = (found[name]["parameters"] for found in ranks)
    start = {key: value.detach() for key, value in two_ranks.make_segmenter(name).named_parameters()}
    assert first.keys() == second.keys() == start.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], start[key]) for key in first)


@pytest.mark.parametrize("name", two_ranks.CASES)
def test_statistics_are_the_first_ranks_at_every_forward(name: str, ranks: list[dict[str, Any]]) -> None:
    first, second = (found[name] for found in ranks)
    assert len(first["buffers"]) == two_ranks.STEPS
    for index in range(two_ranks.STEPS):
        ours, theirs = first["buffers"][index], second["buffers"][index]
        assert not [key for key in ours if not torch.equal(ours[key], theirs[key])]
    if name == two_ranks.SCORED:  # where each rank's own batch had moved its own before
        between = [found[name]["before"][1]["network.encoder.bn1.running_mean"] for found in ranks]
        assert not torch.equal(*between)


@pytest.mark.parametrize("name", two_ranks.CASES)
def test_gradients_are_the_mean_over_the_ranks_batches_and_seeds(name: str, ranks: list[dict[str, Any]]) -> None:
    segmenter = two_ranks.make_segmenter(name)
    assert ranks[0][name]["held"] == ranks[1][name]["held"]
    for index in range(two_ranks.STEPS):
        step = tiny.Step(index, two_ranks.STEPS, index // 2)
        batches = [(rank, index, found[name]["batches"][index]) for rank, found in enumerate(ranks)]
        held = ranks[0][name]["held"][index]
        # Each rank from its own state: statistics are the rank's own until the next forward.
        parts = [
            tiny.replayed_gradients(segmenter, ranks[rank][name]["refreshed"][index], [batch], step, held)
            for rank, batch in enumerate(batches)
        ]
        wanted = {key: (gradient + parts[1][key]) / 2 for key, gradient in parts[0].items()}
        for found in ranks:
            tiny.assert_gradients_close(found[name]["gradients"][index], wanted)


def test_what_is_thawed_starts_its_moments_then(ranks: list[dict[str, Any]]) -> None:
    """Adam corrects its moments for the steps it counted: zeros that DDP left while a layer was held back are none."""
    found = ranks[0]["partial_freezing_thawed"]
    assert any(held for held in found["held"]) and found["held"][0] != found["held"][-1]
    for name, updates in found["updates"].items():
        assert updates == sum(name not in held for held in found["held"]), name


def test_target_statistics_are_those_of_all_ranks_images(ranks: list[dict[str, Any]]) -> None:
    name = "adaptive_batch_norm"
    segmenter, target = two_ranks.make_segmenter(name), two_ranks.TARGET
    segmenter.load_state_dict({**ranks[0][name]["parameters"], **ranks[0][name]["end"]})
    images = [torch.from_numpy(target.read_image(one)).movedim(-1, 0)[None] / 255 for one in target.names("train")]
    assert len(images) == 9, "one rank has more of them than the other"
    recompute_statistics(segmenter.network, images)
    for key, value in segmenter.named_buffers():
        for found in ranks:
            torch.testing.assert_close(found[name]["end"][key], value, rtol=1e-4, atol=1e-6)


def test_thresholds_of_self_training_are_those_of_all_ranks_images(ranks: list[dict[str, Any]]) -> None:
    first, second = (found["self_training"]["refreshed"][2] for found in ranks)
    thresholds = first["strategy.thresholds"]
    assert torch.equal(thresholds, second["strategy.thresholds"])
    segmenter = two_ranks.make_segmenter("self_training")
    segmenter.load_state_dict(first)
    target = two_ranks.make_data("self_training").domains["target"]
    images = [torch.from_numpy(target.read_image(name)).movedim(2, 0) / 255 for name in target.names("train")]
    with torch.no_grad():
        confidence, classes = segmenter.network.eval()(torch.stack(images)).softmax(dim=1).max(dim=1)
    for index, found in enumerate(thresholds.tolist()):
        of_class = confidence[classes == index].sort(descending=True).values
        rank = int(0.25 * len(of_class))  # the second round
        wanted = of_class[rank - 1].item() if rank else 1.0
        assert found == pytest.approx(wanted, abs=0.002), segmenter.classes[index]
    assert len(images) == 9 and (thresholds < 1).sum() > 1


def test_the_ranks_read_different_images(ranks: list[dict[str, Any]]) -> None:
    names = [[batch["source"]["name"] for batch in found[two_ranks.SCORED]["batches"]] for found in ranks]
    assert not set(names[0][0]) & set(names[1][0])


def test_a_set_that_two_does_not_divide_is_scored_and_shown_like_in_one_process(
    ranks: list[dict[str, Any]], make_trainer: Any
) -> None:
    segmenter, display = two_ranks.make_segmenter(two_ranks.SCORED), KeptDisplay()
    segmenter.load_state_dict(ranks[0]["state"])
    segmenter.augmentation_consistency = True
    trainer = make_trainer(callbacks=[ValidationPanel(display)])
    trainer.validate(segmenter, two_ranks.make_data(two_ranks.SCORED), verbose=False)
    for found in ranks:
        assert found["scores"] == {domain: vars(scores) for domain, scores in segmenter.scores.items()}
        assert len(segmenter.unsupervised) == 5 and found["unsupervised"] == segmenter.unsupervised
    assert segmenter.scores["source"].pixels == 5 * 32 * 48
    assert ranks[0]["images"] == segmenter.image_scores and not ranks[1]["images"]
    assert len({(image.domain, image.name) for image in segmenter.image_scores}) == len(segmenter.image_scores) == 5 + 3
    assert [panel.name for panel in ranks[0]["panels"]] == ["val/panel", "validate/panel"]
    assert not ranks[1]["panels"]
    for ours, theirs in zip(display.panels[0].rows, ranks[0]["panels"][1].rows, strict=True):
        assert (ours.domain, ours.name) == (theirs.domain, theirs.name)
        assert np.array_equal(ours.image, theirs.image)
        assert np.array_equal(ours.masks["prediction"], theirs.masks["prediction"])


def test_the_command_line_and_torchrun_train_the_same_network(tmp_path: Path) -> None:
    streets = {"class_path": "SyntheticStreets", "init_args": {"size": [32, 48], "train": 6, "val": 3, "test": 2}}
    config = {
        "trainer": {"max_steps": 2, "num_sanity_val_steps": 0, "enable_progress_bar": False},
        "model": {**tiny.NETWORK, "strategy": tiny.STRATEGIES["partial_freezing_adversarial"]["strategy"]},
        "data": {"init_args": {"source": streets, "target": streets, "crop": [32, 32], "batch_size": 2, "workers": 0}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    fit = ["-m", "lightning_app", "fit", "--config", "config.yaml", "--trainer.accelerator", "cpu"]
    two = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    run(sys.executable, *fit, *two, "--run", "alone", cwd=tmp_path)
    # Without the -- torchrun takes --run for one of its own options.
    logger = ["--trainer.logger", "WeightsAndBiases"]
    run(*TORCHRUN, "-m", "--", *fit[1:], *two, *logger, "--run", "torchrun", cwd=tmp_path)
    alone, torchrun = (
        torch.load(tmp_path / "runs" / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("alone", "torchrun")
    )
    assert all(torch.equal(alone[key], torchrun[key]) for key in alone)
    assert len(wandb_file.runs(tmp_path / "runs" / "torchrun")) == 1, "a run for every rank"
    for name in ("alone", "torchrun"):
        assert len(list((tmp_path / "runs" / name / "metrics").iterdir())) == 1
    assert (tmp_path / "runs" / "alone" / "fit.csv").read_text() == (tmp_path / "runs/torchrun/fit.csv").read_text()

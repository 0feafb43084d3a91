import copy
import csv
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from tiny import assert_gradients_close

from benchmarks.comparison import Comparison
from benchmarks.gpu import STRATEGIES, gpu_steps
from benchmarks.image_folder import write_image_folder
from benchmarks.input_pipeline import CROP, batch_by_hand
from benchmarks.report import report
from benchmarks.speed import main
from benchmarks.startup import startup
from benchmarks.strategies import NETWORK, OF_TERMS, back_propagate
from benchmarks.training_step import InTurns, TwoOptimizersByHand
from datamodules import CrossDomainDataModule, FolderDomain
from datamodules.dataset import DomainDataset, MaskReader
from datamodules.transforms import TrainTransform
from lightning_app.network import NetworkSpec, SegmentationNetwork
from lightning_app.segmenter import Segmenter
from strategies import AdversarialAlignment, SourceOnly, Strategy

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("part", "units", "pairs"),
    [
        ("step", ["wall ms a step", "CPU ms a step"] * 2, ["1"] * 4),
        ("strategies", ["CPU ms a step"] * 2, ["1"] * 2),
        ("input", ["images a second"] * 3, ["1"] * 3),
        pytest.param(
            "listing",
            ["wall s", "CPU s", "bytes a file", "peak bytes a file", "private bytes a file"],
            ["1"] * 5,
            marks=linux_only,
        ),
        pytest.param("windows", ["CPU s", "peak MB"], ["1", "1"], marks=linux_only),
    ],
)
def test_part_writes_its_rows_and_shows_them(
    part: str, units: list[str], pairs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--quick", "--repeats=1", f"--only={part}", f"--folder={tmp_path}"])
    rows = read_rows(tmp_path / f"speed_{part}.csv")
    assert [row["unit"] for row in rows] == units
    assert [row["pairs"] for row in rows] == pairs
    for row in rows:
        assert float(row["segue"]) > 0 and float(row["reference"]) > 0
        assert float(row["lowest"]) <= float(row["ratio"]) <= float(row["highest"])
        assert row["torch"] == torch.__version__ and row["threads"] == "1" and int(row["cores"]) >= 1
    shown = capsys.readouterr().out
    assert "ratio" in shown and f"torch: {torch.__version__}" in shown
    assert [path.name for path in tmp_path.iterdir()] == [f"speed_{part}.csv"]


def test_startup_compares_each_command_with_the_reference() -> None:
    rows = list(startup(1, {"nothing": ("-c", "")}, ("-c", "import json")))
    assert [(row.case, row.unit, row.target) for row in rows] == [("nothing", "wall s", 1.3), ("nothing", "CPU s", 1.3)]


def test_ratio_is_taken_within_each_pair() -> None:
    # The second pair was measured while the machine was three times as slow.
    row = Comparison.of_pairs("a case", "s", [(2.0, 1.0), (6.0, 3.0), (5.0, 2.0)], target=3.0)
    assert (row.ratio, row.lowest, row.highest) == (2.0, 2.0, 2.5)
    assert (row.segue, row.reference, row.pairs, row.target) == (5.0, 2.0, 3, 3.0)


def test_rows_measured_before_an_error_are_in_the_file(tmp_path: Path) -> None:
    def measure() -> Iterator[Comparison]:
        yield Comparison.of_pairs("first", "s", [(1.0, 1.0)])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        report("two rows", measure(), tmp_path / "rows.csv")
    assert [row["case"] for row in read_rows(tmp_path / "rows.csv")] == ["first"]


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--only=step,stop"], "no part 'stop'; the parts are step, strategies"), (["--repeats=0"], "at least 1")],
)
def test_mistyped_options_are_named(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(options)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("strategy", "by_hand"),
    [(SourceOnly, "source"), (lambda: AdversarialAlignment(weight=0.5, discriminator_lr=0.1), "two_optimizers")],
)
def test_loop_by_hand_does_what_the_fit_does(
    strategy: Callable[[], Strategy],
    by_hand: Any,
    make_data: Callable[..., CrossDomainDataModule],
    make_segmenter: Callable[..., Segmenter],
    make_trainer: Callable[..., Trainer],
    tmp_path: Path,
) -> None:
    # SGD, because Adam makes large steps of the rounding of gradients near 0; and no dropout, whose chance differs.
    segmenter = make_segmenter(
        strategy(),
        architecture="Unet",
        options={"encoder_depth": 3, "decoder_channels": [32, 16, 8]},
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1),
    )
    before = {name: value.clone() for name, value in segmenter.state_dict().items()}
    in_turns = InTurns(str(tmp_path / "pairs.json"), by_hand)
    trainer = make_trainer(max_steps=4, limit_val_batches=0, callbacks=[in_turns])
    trainer.fit(segmenter, make_data(steps_per_epoch=2))
    alike = {"network.": in_turns.loop.network}
    if isinstance(in_turns.loop, TwoOptimizersByHand):
        alike["strategy.discriminators.0."] = in_turns.loop.discriminator
    after = segmenter.state_dict()
    for prefix, module in alike.items():
        for name, value in module.state_dict().items():
            torch.testing.assert_close(value, after[prefix + name], rtol=1e-3, atol=1e-5)
        assert any(not torch.equal(before[prefix + name], value) for name, value in module.state_dict().items())
    assert len(in_turns.path.read_text().split("]], [[")) == 2


@pytest.mark.parametrize("name", list(OF_TERMS))
def test_terms_one_by_one_and_their_sum_are_the_same_work(name: str) -> None:
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labelled: Any = {"image": image, "mask": torch.zeros(2, 32, 32, dtype=torch.int64), "name": []}
    batch: Any = {"source": labelled, "labelled_target": labelled, "target": {"image": 1 - image, "name": []}}
    found = []
    for summed in (False, True):
        torch.manual_seed(0)
        network, strategy = SegmentationNetwork(NETWORK), copy.deepcopy(OF_TERMS[name])
        strategy.build(network, NETWORK.classes)
        back_propagate(strategy, network, batch, summed)
        parameters = [*network.named_parameters(), *strategy.named_parameters()]
        found.append({name: p.grad for name, p in parameters if p.grad is not None})
    assert_gradients_close(*found)


def test_the_part_for_a_gpu_runs_every_strategy_where_there_is_none() -> None:
    spec = NetworkSpec("FPN", "tu-test_resnet", NETWORK.classes, options={"encoder_depth": 3})
    rows = list(gpu_steps(1, side=32, batch_size=2, networks={"tiny": spec}, device="cpu", steps=1))
    assert [row.case for row in rows] == [f"tiny, {name}, 2 × 32²" for name in STRATEGIES]
    assert all(row.unit == "images a second" and row.segue > 0 < row.reference for row in rows)


def test_the_part_for_a_gpu_is_refused_without_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(["--only=gpu"])
    assert "the part 'gpu' needs a GPU" in capsys.readouterr().err


def test_input_by_hand_reads_what_the_data_set_reads(tmp_path: Path) -> None:
    # Images of the size of the crop leave nothing to chance.
    write_image_folder(tmp_path, CROP, 1, ".jpg")
    domain = FolderDomain(str(tmp_path))
    names = list(domain.names("train"))
    transform = TrainTransform(CROP, augmentation="none")
    dataset = DomainDataset(
        domain,
        "source",
        names,
        channels=3,
        read_mask=MaskReader(domain, "source", 10, "label_map"),
        transform=transform,
        stream="source",
    )
    sample = dataset[0, 0]
    by_hand = batch_by_hand(tmp_path, names, "none", np.random.default_rng(0))
    assert torch.equal(by_hand["mask"][0], sample["mask"])
    assert (by_hand["image"][0].int() - sample["image"].int()).abs().max() <= 2


@pytest.mark.parametrize("augmentation", ["weak", "strong"])
def test_input_by_hand_augments_small_images_too(augmentation: Any, tmp_path: Path) -> None:
    write_image_folder(tmp_path, (64, 96), 2, ".jpg")
    names = FolderDomain(str(tmp_path)).names("train")
    for seed in range(8):
        batch = batch_by_hand(tmp_path, names, augmentation, np.random.default_rng(seed))
        assert batch["image"].shape == (2, 3, *CROP) and batch["image"].dtype == torch.uint8
        assert batch["mask"].shape == (2, *CROP) and batch["mask"].dtype == torch.uint8
        assert math.prod(batch["mask"].shape) > (batch["mask"] == 255).sum() > 0

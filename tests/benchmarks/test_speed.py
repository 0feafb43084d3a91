import copy
import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from tiny import assert_gradients_close

from benchmarks.comparison import Comparison
from benchmarks.gpu import METHODS, STRATEGIES, gpu_steps
from benchmarks.image_folder import write_image_folder
from benchmarks.input_pipeline import LEAST, labelled_images
from benchmarks.input_references import OpenCVByHand, Torchvision
from benchmarks.reference_steps import fda
from benchmarks.report import report
from benchmarks.speed import main
from benchmarks.startup import startup
from benchmarks.strategies import NETWORK, OF_TERMS, back_propagate
from benchmarks.training_step import InTurns, TwoOptimizersByHand
from datamodules import CrossDomainDataModule, FolderDomain
from datamodules.batch import Batch
from datamodules.transforms import TrainTransform
from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec
from lightning_app.segmenter import Segmenter
from strategies import AdversarialAlignment, FourierStyle, SourceOnly, Strategy
from strategies.components import discriminator

# torchvision is about to leave its decoders to another package; until then they are the fastest that it has.
until_decoders_move = pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@until_decoders_move
@pytest.mark.parametrize(
    ("part", "units", "pairs"),
    [
        ("step", ["wall ms a step", "CPU ms a step"] * 2, ["1"] * 4),
        ("strategies", ["CPU ms a step"] * 2, ["1"] * 2),
        pytest.param("passes", ["CPU ms", "CPU ms", "peak MB"], ["1"] * 3, marks=linux_only),
        ("logging", ["CPU s"], ["1"]),
        ("input", ["images a second"] * 2, ["1"] * 2),
        ("index", ["masks a second", "masks a CPU second"], ["1"] * 2),
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


def test_the_part_for_a_gpu_runs_every_strategy_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discriminator, "WIDTHS", (4, 8, 8, 8))
    options = {"encoder_depth": 3, "decoder_channels": [32, 16, 8]}
    spec = NetworkSpec("Unet", "tu-test_resnet", NETWORK.classes, options=options)
    rows = list(gpu_steps(1, 64, 2, {"tiny": spec}, device="cpu", steps=1, compiled=[False]))
    beside = [f"{name} over its {what}, tiny, 2 × 64²" for name in METHODS for what in ("passes", "reference")]
    over = [f"{name} over SourceOnly, tiny, 2 × 64²" for name in STRATEGIES]
    assert [row.case for row in rows] == beside + over
    assert [row.unit for row in rows] == ["ms a step"] * len(beside) + ["images a second"] * len(over)
    assert all(row.segue > 0 < row.reference for row in rows)


def test_fda_by_hand_does_the_same_work() -> None:
    torch.manual_seed(0)
    source, target = (torch.rand(2, 3, 128, 128) for _ in range(2))
    options = {"encoder_depth": 3, "decoder_channels": [32, 16, 8]}
    network = SegmentationNetwork(NetworkSpec("Unet", "tu-test_resnet", NETWORK.classes, options=options)).train()
    twin, strategy = copy.deepcopy(network), FourierStyle(beta=0.01)
    mask = torch.randint(len(NETWORK.classes), (2, 128, 128))
    batch: Batch = {"source": {"image": source, "mask": mask, "name": []}, "target": {"image": target, "name": []}}
    strategy.build(network, NETWORK.classes)
    back_propagate(strategy, network, batch, summed=False)
    fda(twin, torch.optim.SGD(twin.parameters(), lr=0.1))(batch, 0)
    ours, theirs = (
        torch.cat([one.grad.flatten() for one in which.parameters() if one.grad is not None])
        for which in (network, twin)
    )
    # NumPy transforms in double precision. Without the entropy, or at twice its weight, they are 8e-3 apart.
    assert (ours - theirs).norm() < 1e-3 * theirs.norm()


def test_the_part_for_a_gpu_is_refused_without_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(["--only=gpu"])
    assert "the part 'gpu' needs a GPU" in capsys.readouterr().err


@until_decoders_move
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("over", LEAST)
def test_input_is_measured_beside_the_same_work(over: str, suffix: str, tmp_path: Path) -> None:
    # Images of the size of the crop, not scaled, leave nothing but the flip to chance.
    size = (64, 96)
    write_image_folder(tmp_path, size, 1, suffix)
    dataset = labelled_images(tmp_path, TrainTransform(size, augmentation="none"))
    sample = dataset[0]
    reference = _reference(over, tmp_path, suffix, size, (1.0, 1.0), "weak")
    flipped = 0
    for seed in range(8):
        images, masks = reference([dataset.names[0]], seed)
        if not torch.equal(masks[0], sample["mask"]):
            images, masks = images.flip(-1), masks.flip(-1)
            flipped += 1
        assert torch.equal(masks[0], sample["mask"])
        assert (images[0].int() - sample["image"].int()).abs().max() <= (0 if suffix == ".png" else 2)
    assert 0 < flipped < 8


@until_decoders_move
@pytest.mark.parametrize("strength", ["weak", "strong"])
@pytest.mark.parametrize("over", LEAST)
def test_input_references_augment_small_images_too(over: str, strength: Any, tmp_path: Path) -> None:
    write_image_folder(tmp_path, (64, 96), 2, ".jpg")
    names = FolderDomain(str(tmp_path)).names("train")
    reference = _reference(over, tmp_path, ".jpg", (48, 48), (0.25, 1.0), strength)
    ignored = 0
    for seed in range(8):
        images, masks = reference(names, seed)
        assert images.shape == (2, 3, 48, 48) and images.dtype == torch.uint8 and images.is_contiguous()
        assert masks.shape == (2, 48, 48) and masks.dtype == torch.uint8
        ignored += int((masks == 255).sum())
    assert 0 < ignored < 8 * 2 * 48 * 48


@pytest.mark.parametrize(("target", "least", "goal"), [(1.3, None, "≤ 1.3"), (None, 0.9, "≥ 0.9"), (None, None, "–")])
def test_a_goal_says_which_way_it_lies(target: float | None, least: float | None, goal: str) -> None:
    assert Comparison.of_pairs("a case", "s", [(1.0, 1.0)], target, least).goal == goal


def _reference(over: str, folder: Path, suffix: str, crop: Any, scale: Any, strength: Any) -> Any:
    if over == "OpenCV by hand":
        return OpenCVByHand(folder, suffix, crop, scale, strength)
    return Torchvision(folder, suffix, crop, scale, strength, shorter=64)

"""What a strategy sees of the target between two steps, and when."""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

from datamodules import CrossDomainDataModule
from datamodules.batch import Batch, DomainBatch, DomainName
from datamodules.domain import ImageArray
from lightning_app.callbacks.graceful_stop import GracefulStop
from lightning_app.callbacks.last_checkpoint import LastCheckpoint
from lightning_app.inference import Windows, window_places
from lightning_app.segmenter import Segmenter
from strategies import Losses, Network, PartialFreezing, SourceOnly, Step


class Looks(SourceOnly):
    """Passes over the target, notes what it is given, and learns by what the network said there."""

    said: Tensor

    def __init__(self, every: int | None = 2) -> None:
        super().__init__()
        self.refresh_every = every
        self.steps: list[int] = []
        self.modes: list[set[bool]] = []
        self.passes: list[list[DomainBatch]] = []
        self.gradients: list[bool] = []
        self.register_buffer("said", torch.zeros(()))

    def refresh(self, network: Network, target_batches: Iterable[DomainBatch], step: Step) -> None:
        batches = list(target_batches)
        said = torch.stack([network(batch["image"]).square().mean() for batch in batches])
        self.said.copy_(said.mean())
        self.steps.append(step.index)
        self.modes.append({module.training for _, module in network.named_modules()})
        self.passes.append(batches)
        self.gradients.append(said.requires_grad)

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        for named in super().losses(network, batch, step):
            yield {name: (1 + self.said) * value for name, value in named.items()}


def fit(make_trainer: Any, strategy: Any, data: Any = None, windows: Windows | None = None, **settings: Any) -> Any:
    """Trains and returns the segmenter."""
    segmenter = tiny.make_segmenter(strategy, windows=windows)
    settings = {"max_steps": 5, "limit_val_batches": 0, **settings}
    make_trainer(**settings).fit(segmenter, data or few_images())
    return segmenter


def few_images(**settings: Any) -> CrossDomainDataModule:
    """Ten source images, an epoch of five batches, and three target images."""
    target = tiny.KeptStreets(look="dusk", size=(32, 48), train=3, val=3, test=3)
    return tiny.make_data(target=target, **{"workers": 0, **settings})


@pytest.mark.parametrize(
    ("every", "total", "wanted"),
    [(2, 5, [0, 2, 4, 5]), (2, 4, [0, 2, 4]), (3, 2, [0, 2]), (0, 3, [3]), (None, 3, [])],
)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_it_comes_before_every_nth_step_and_after_the_last(
    every: int | None, total: int, wanted: list[int], accumulate: int, make_trainer: Any
) -> None:
    # An epoch of five batches: under accumulation its third step has one.
    strategy = Looks(every)
    fit(make_trainer, strategy, max_steps=total, accumulate_grad_batches=accumulate)
    assert strategy.steps == wanted


def test_it_comes_before_the_step_that_it_is_named_after(make_trainer: Any) -> None:
    class Orders(Looks):
        def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
            self.steps.append(100 + step.index)
            yield from super().losses(network, batch, step)

    strategy = Orders(2)
    fit(make_trainer, strategy, max_steps=3)
    assert strategy.steps == [0, 100, 101, 2, 102, 3]


def test_the_network_comes_in_eval_mode_without_gradients(make_trainer: Any) -> None:
    strategy = Looks()
    fit(make_trainer, strategy)
    assert strategy.modes == [{False}] * 4
    assert strategy.gradients == [False] * 4


def test_the_network_is_back_in_training_mode_but_for_what_is_frozen(make_trainer: Any) -> None:
    class Modes(Looks):
        def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
            found.append({name: module.training for name, module in network.named_modules()})
            yield from super().losses(network, batch, step)

    found: list[dict[str, bool]] = []
    segmenter = fit(make_trainer, PartialFreezing(Modes(1), train=["decoder", "head"]), max_steps=2)
    still = {name for name, module in segmenter.network.encoder.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert still
    for modes in found:
        assert {name for name, training in modes.items() if not training} == {f"encoder.{name}" for name in still}
    # What the last refresh leaves, Lightning would put into eval for a validation and then restore.
    assert segmenter.network.training and segmenter.network.decoder.training
    assert not any(segmenter.network.encoder.get_submodule(name).training for name in still)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_whole_target_training_images_once_each(workers: int, make_trainer: Any) -> None:
    strategy = Looks()
    data = tiny.make_data(workers=workers, strength="strong", labels=4)
    fit(make_trainer, strategy, data, max_steps=2)
    domain = data.domains["target"]
    for seen in strategy.passes:
        assert sorted(name for batch in seen for name in batch["name"]) == sorted(domain.names("train"))
        for batch in seen:
            assert "mask" not in batch
            assert batch["image"].dtype == torch.float32
            wanted = torch.from_numpy(domain.read_image(batch["name"][0])).movedim(2, 0)[None] / 255
            torch.testing.assert_close(batch["image"], wanted)
    first, second = ([batch["name"] for batch in seen] for seen in strategy.passes)
    assert first == second != [[name] for name in domain.names("train")]


class OneRankOf(Looks):
    """Notes what each of several ranks would be given."""

    def __init__(self, data: Any, ranks: int) -> None:
        super().__init__(1)
        self.data = data
        self.ranks = ranks
        self.shares: list[list[str]] = []

    def refresh(self, network: Network, target_batches: Iterable[DomainBatch], step: Step) -> None:
        for rank in range(self.ranks):
            self.data._rank_and_world_size = lambda rank=rank: (rank, self.ranks)
            self.shares.append([batch["name"][0] for batch in self.data.target_images()])
        del self.data._rank_and_world_size


@pytest.mark.parametrize("ranks", [1, 3, 12])
def test_the_ranks_share_the_images_and_some_may_have_none(ranks: int, make_trainer: Any) -> None:
    data = tiny.make_data(workers=0)
    strategy = OneRankOf(data, ranks)
    fit(make_trainer, strategy, data, max_steps=1)
    shares = strategy.shares[:ranks]
    assert Counter(name for share in shares for name in share) == Counter(data.domains["target"].names("train"))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


class LooksTwice(Looks):
    """Leaves a pass after three images, and starts another."""

    def refresh(self, network: Network, target_batches: Iterable[DomainBatch], step: Step) -> None:
        iterator = iter(target_batches)
        self.passes.append([next(iterator) for _ in range(3)])
        super().refresh(network, target_batches, step)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pass_may_be_left_early_and_the_next_starts_at_the_first(workers: int, make_trainer: Any) -> None:
    strategy = LooksTwice()
    fit(make_trainer, strategy, tiny.make_data(workers=workers), max_steps=1)
    abandoned, whole = strategy.passes[:2]
    assert len(whole) == 10
    assert [batch["name"] for batch in abandoned] == [batch["name"] for batch in whole[:3]]


def test_windows_cut_large_images_and_cover_them(make_trainer: Any) -> None:
    strategy = Looks()
    data = tiny.make_data(workers=0)
    fit(make_trainer, strategy, data, Windows((20, 64), overlap=0.5), max_steps=1)
    for name in data.domains["target"].names("train"):
        image = torch.from_numpy(data.domains["target"].read_image(name)).movedim(2, 0)[None] / 255
        found = [batch["image"] for batch in strategy.passes[0] if batch["name"] == [name]]
        wanted = [image[:, :, :20], image[:, :, 12:]]  # 32 × 48 pixels: the second lies against the lower edge
        assert len(found) == 2
        for piece, window in zip(found, wanted, strict=True):
            torch.testing.assert_close(piece, window)


@pytest.mark.parametrize(
    ("height", "width", "size"), [(5, 7, 2), (6, 6, 3), (3, 3, 8), (1, 9, (4, 2)), (7, 1, (3, 3)), (10, 10, None)]
)
def test_windows_side_by_side_cover_every_pixel(height: int, width: int, size: Any) -> None:
    windows = None if size is None else Windows(size, overlap=0.9)
    covered = torch.zeros(height, width)
    places = list(window_places(height, width, windows))
    for rows, columns in places:
        covered[rows, columns] += 1
    assert covered.min() == 1
    rows, columns = (height, width) if windows is None else windows.shape
    assert len(places) == -(-height // min(rows, height)) * -(-width // min(columns, width))


class WithABadFile(tiny.KeptStreets):
    """Streets of which one training image cannot be read."""

    def read_image(self, name: str) -> ImageArray:
        if name == self.names("train")[4]:
            raise ValueError(f"{name} is cut off")
        return super().read_image(name)


@pytest.mark.parametrize("windows", [None, Windows(16)])
def test_bad_files_are_skipped_and_counted_once_a_pass(windows: Windows | None, make_trainer: Any) -> None:
    target = WithABadFile(look="dusk", size=(32, 48), train=10, val=3, test=3)
    data = tiny.make_data(workers=0, target=target, on_bad_file="skip")
    strategy = Looks()
    with pytest.warns(UserWarning, match="skipped target image dusk_train_0004: dusk_train_0004 is cut off"):
        fit(make_trainer, strategy, data, windows, max_steps=2)
    assert len(strategy.passes) == 2
    assert data.skipped.draws == 2
    assert "dusk_train_0004" not in {batch["name"][0] for seen in strategy.passes for batch in seen}


def test_a_bad_file_stops_the_run_unless_told_otherwise(make_trainer: Any) -> None:
    target = WithABadFile(look="dusk", size=(32, 48), train=10, val=3, test=3)
    with pytest.raises(ValueError, match="train_0004 is cut off"):
        fit(make_trainer, Looks(), tiny.make_data(workers=0, target=target))


def test_without_a_data_module_the_error_says_what_it_needs(make_trainer: Any) -> None:
    batch = {"source": {"image": torch.rand(2, 3, 32, 32), "mask": torch.zeros(2, 32, 32).long(), "name": ["", ""]}}
    loader: Any = DataLoader([batch], batch_size=None)
    with pytest.raises(ValueError, match="Looks passes over the target: train it with a CrossDomainDataModule"):
        make_trainer(max_steps=1, limit_val_batches=0).fit(tiny.make_segmenter(Looks()), loader)


def test_without_a_target_the_error_says_what_it_needs(make_trainer: Any) -> None:
    with pytest.raises(ValueError, match=r"Looks.*target"):
        fit(make_trainer, Looks(), tiny.make_data(workers=0, target=None))


def assert_equal(first: Segmenter, second: Segmenter) -> None:
    ours, theirs = first.state_dict(), second.state_dict()
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]


@pytest.mark.parametrize(
    ("total", "accumulate", "steps", "rests"),
    [
        # Within a round, on a refresh, after the last step.
        (5, 1, [0, 3, 5], {2: [3, 5], 3: [3, 5], 5: []}),
        (4, 2, [0, 3, 4], {2: [3, 4], 3: [3, 4]}),
    ],
)
def test_a_run_that_is_resumed_goes_on_bitwise(
    total: int, accumulate: int, steps: list[int], rests: dict[int, list[int]], tmp_path: Path, make_trainer: Any
) -> None:
    def run(strategy: Looks, ckpt_path: Path | None = None) -> Segmenter:
        keeper = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
        segmenter = tiny.make_segmenter(strategy)
        settings = {"max_steps": total, "accumulate_grad_batches": accumulate, "limit_val_batches": 0}
        make_trainer(enable_checkpointing=True, callbacks=[keeper], **settings).fit(
            segmenter, few_images(strength="strong"), ckpt_path=ckpt_path, weights_only=True
        )
        return segmenter

    strategy = Looks(3)
    whole = run(strategy)
    assert strategy.steps == steps
    for step, rest in rests.items():
        resumed = Looks(3)
        assert_equal(run(resumed, tmp_path / f"step={step}.ckpt"), whole)
        assert resumed.steps == rest


class Stops(Callback):
    """Ends a run before its last step, as max_time or EarlyStopping do, or as Ctrl-C does."""

    def __init__(self, by: str) -> None:
        self.by = by

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == 1:
            trainer.should_stop = self.by == "trainer"
            pl_module.stop_wanted = self.by == "signal"


@pytest.mark.parametrize("by", ["trainer", "signal"])
@pytest.mark.parametrize("every", [0, None])
def test_a_run_that_stops_before_its_last_refresh_says_so(
    by: str, every: int | None, tmp_path: Path, make_trainer: Any
) -> None:
    def run(stop: str, ckpt_path: Path | None = None, **settings: Any) -> list[int]:
        last = LastCheckpoint(str(tmp_path))
        callbacks = [last, GracefulStop(last), Stops(stop)]
        strategy = Looks(every)
        trainer = make_trainer(limit_val_batches=0, callbacks=callbacks, **settings)
        trainer.fit(tiny.make_segmenter(strategy), few_images(), ckpt_path=ckpt_path, weights_only=True)
        return strategy.steps

    with warnings.catch_warnings(record=True) as caught, suppress(SystemExit):
        warnings.simplefilter("always")
        run(by, max_steps=9)
    said = [str(one.message) for one in caught if "pass over the target" in str(one.message)]
    assert [text.startswith("The run stops after 2 of 9 steps") for text in said] == [True] * (every == 0)
    assert not said or "--trainer.max_steps 3 that is a single step" in said[0]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="The run stops")
        assert run("", tmp_path / "last.ckpt", max_steps=3) == [3] * (every == 0)


class ShowsTheLast(Looks):
    """Infers with a network that only a refresh makes."""

    def build(self, network: Network, classes: Sequence[str]) -> None:
        super().build(network, classes)
        self.shown: Any = torch.nn.Conv2d(3, len(classes), 1)
        for parameter in self.shown.parameters():
            parameter.requires_grad_(False).zero_()

    def refresh(self, network: Network, target_batches: Iterable[DomainBatch], step: Step) -> None:
        super().refresh(network, target_batches, step)
        self.shown.bias[step.index] = step.index

    def inference_network(self, network: nn.Module, domain: DomainName) -> nn.Module:
        shown: nn.Module = self.shown
        return shown


def test_the_last_validation_and_the_last_checkpoints_see_the_last_refresh(tmp_path: Path, make_trainer: Any) -> None:
    last = LastCheckpoint(str(tmp_path))
    keeper = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=4)
    strategy = ShowsTheLast(0)
    segmenter = fit(
        make_trainer,
        strategy,
        max_steps=4,
        limit_val_batches=1.0,
        val_check_interval=4,
        callbacks=[last, keeper],
        enable_checkpointing=True,
    )
    # The one class that the network now names everywhere has all the IoU there is.
    named = {name for name, value in segmenter.scores["target"].iou.items() if value > 0}
    assert named == {segmenter.classes[4]}
    for path in (tmp_path / "last.ckpt", tmp_path / "step=4.ckpt"):
        state = torch.load(path, weights_only=True)["state_dict"]
        assert state["strategy.shown.bias"].argmax() == 4
        assert torch.equal(state["strategy.said"], strategy.said)


def test_half_precision_holds_in_every_refresh_and_costs_no_gradient(make_trainer: Any) -> None:
    class Types(Looks):
        def refresh(self, network: Network, target_batches: Iterable[DomainBatch], step: Step) -> None:
            found.append(network(next(iter(target_batches))["image"]).dtype)

    found: list[torch.dtype] = []
    recorders = [tiny.Recorder(), tiny.Recorder()]
    for strategy, recorder in zip((Types(1), SourceOnly()), recorders, strict=True):
        fit(make_trainer, strategy, max_steps=1, precision="bf16-mixed", callbacks=[recorder])
    assert found == [torch.bfloat16, torch.bfloat16]
    # Autocast keeps the weights that it converts for later calls: those of a pass without gradients must not be used.
    ours, theirs = (recorder.gradients[0] for recorder in recorders)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)

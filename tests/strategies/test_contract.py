"""What every strategy keeps to, over the tiny configs of ``tests/conf``."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny import Recorder, assert_gradients_close, replayed_gradients
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase

import strategies
from datamodules import CrossDomainDataModule, SyntheticStreets
from datamodules.domain import MaskArray
from lightning_app.commands.strategies import methods
from lightning_app.optimization import check_groups
from lightning_app.segmenter import Segmenter
from strategies import SourceOnly
from strategies.components import discriminator

STEPS = 5
EPOCH = 3
"""Batches of an epoch, so that what goes by epochs has two."""
NAMES = sorted(tiny.STRATEGIES)


def test_every_strategy_has_a_tiny_config() -> None:
    public = set(methods())
    files = {path.stem for path in Path(strategies.__file__).parent.glob("*.py")} - {"__init__", "base", "wrapper"}
    assert len(public) == len(files), "a file of strategies/ is not exported"
    covered = {type(tiny.make_strategy(name)) for name in NAMES}
    assert public == covered, "give it a tiny config in tests/conf/"


class Guarded(SyntheticStreets):
    """Streets whose training masks are garbage unless their labels were given."""

    given: frozenset[str] = frozenset()
    has_masks = True

    def has_mask(self, name: str) -> bool:
        return super().has_mask(name) and (self.has_masks or not name.startswith("train"))

    def read_mask(self, name: str) -> MaskArray:
        mask = super().read_mask(name)
        if name in self.names("train") and name not in self.given:
            return np.full_like(mask, 3)
        return mask


def make_data(name: str, target: SyntheticStreets | None = None) -> CrossDomainDataModule:
    settings: dict[str, Any] = {"target": target} if target else {}
    settings |= tiny.data_settings(name)
    return tiny.make_data(steps_per_epoch=EPOCH, strength="strong", workers=0, **settings)


def make_segmenter(name: str) -> Segmenter:
    return tiny.make_segmenter(tiny.make_strategy(name))


@dataclass
class Run:
    """A whole run of a strategy."""

    name: str
    recorder: Recorder
    segmenter: Segmenter
    start: dict[str, Tensor]
    folder: Path


@pytest.fixture(scope="module", autouse=True)
def narrow() -> Iterator[None]:
    """Makes discriminators narrow: at their full width they are most of what these tests compute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discriminator, "WIDTHS", (4, 8, 8, 8))
        yield


@pytest.fixture(scope="module", params=NAMES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a checkpoint a step."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp(request.param)
    segmenter, recorder = make_segmenter(request.param), Recorder()
    start = {key: value.clone() for key, value in segmenter.state_dict().items()}
    keeper = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    settings: dict[str, Any] = {**tiny.TRAINER, "enable_checkpointing": True, "default_root_dir": folder}
    trainer = Trainer(devices=1, max_steps=STEPS, limit_val_batches=0, callbacks=[recorder, keeper], **settings)
    trainer.fit(segmenter, make_data(request.param))
    return Run(request.param, recorder, segmenter, start, folder)


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert not [key for key in first if not torch.equal(first[key], second[key])]


def of_layers_at_rest(segmenter: Segmenter, parameters: set[str]) -> set[str]:
    """The statistics of normalisation layers whose own parameters are among the given ones."""
    found = set()
    for name, layer in segmenter.named_modules():
        if isinstance(layer, _NormBase) and f"{name}.weight" in parameters:
            found |= {f"{name}.running_mean", f"{name}.running_var", f"{name}.num_batches_tracked"}
    return found


def test_what_trains_gets_gradients_and_moves_and_nothing_else_does(whole: Run) -> None:
    parameters = dict(whole.segmenter.named_parameters())
    trained = {name for name, parameter in parameters.items() if parameter.requires_grad}
    end = whole.segmenter.state_dict()
    after = [*whole.recorder.before[1:], end]
    for name in trained:
        turns = [index for index, held in enumerate(whole.recorder.held) if name not in held]
        for index in turns:
            assert name in whole.recorder.gradients[index], f"{name} has no gradient in step {index}"
        found = [whole.recorder.gradients[index][name].abs().max() for index in turns[:3]]
        assert not turns or max(found) > 0, f"{name} has a gradient of zero"
    teacher = whole.segmenter._strategy.teacher
    follows = {id(parameter) for parameter in ([] if teacher is None else teacher.parameters())}
    frozen = {name for name in parameters.keys() - trained if id(parameters[name]) not in follows}
    for index, held in enumerate(whole.recorder.held):
        assert not held & whole.recorder.gradients[index].keys(), "what is held back cost a backward"
        at_rest = frozen | held
        for name in at_rest | of_layers_at_rest(whole.segmenter, at_rest):
            assert torch.equal(whole.recorder.refreshed[index][name], after[index][name]), f"{name} moved in {index}"
    assert any(not torch.equal(whole.start[name], end[name]) for name in trained)


def test_groups_hold_each_trainable_parameter_once_under_names_of_their_own(whole: Run) -> None:
    groups = whole.segmenter.groups
    check_groups(groups, whole.segmenter.network, whole.segmenter._strategy)
    held = [id(parameter) for group in groups for parameter in group["params"]]
    trained = [id(parameter) for parameter in whole.segmenter.parameters() if parameter.requires_grad]
    assert sorted(held) == sorted(trained)
    assert len({group["name"] for group in groups}) == len(groups)


def test_it_gets_the_streams_it_declares_and_no_others(whole: Run) -> None:
    strategy = whole.segmenter._strategy
    for batch in whole.recorder.batches:
        assert set(strategy.required_streams) <= set(batch)
        assert set(batch) <= {*strategy.required_streams, *strategy.optional_streams}
        assert "mask" not in batch.get("target", {})
        assert ("labelled_target" in batch) == (tiny.STRATEGIES[whole.name]["labels"] != "none")


def test_term_by_term_equals_one_backward_of_the_sum(whole: Run) -> None:
    segmenter = make_segmenter(whole.name)
    for index in range(STEPS):
        batches = [(0, index, whole.recorder.batches[index])]
        step, held = whole.segmenter.step_at(index), whole.recorder.held[index]
        wanted = replayed_gradients(segmenter, whole.recorder.refreshed[index], batches, step, held)
        assert_gradients_close(whole.recorder.gradients[index], wanted)


def test_accumulated_gradients_are_the_mean_of_the_micro_batches(whole: Run, make_trainer: Any) -> None:
    segmenter, recorder = make_segmenter(whole.name), Recorder()
    make_trainer(max_steps=2, limit_val_batches=0, accumulate_grad_batches=2, callbacks=[recorder]).fit(
        segmenter, make_data(whole.name)
    )
    # An epoch of three batches: the second step accumulates one.
    for index, places in enumerate([(0, 1), (2,)]):
        batches = [(0, place, recorder.batches[place]) for place in places]
        steps, held = segmenter.step_at(index), recorder.held[index]
        wanted = replayed_gradients(make_segmenter(whole.name), recorder.refreshed[places[0]], batches, steps, held)
        # Lightning divides a window cut short by an epoch's end by the whole window's length too.
        wanted = {name: gradient * len(places) / 2 for name, gradient in wanted.items()}
        assert_gradients_close(recorder.gradients[index], wanted)


class Fails(Callback):
    """Raises before a batch."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.batch:
            raise RuntimeError("a power cut")


def test_a_run_that_failed_goes_on_bitwise(whole: Run, make_trainer: Any, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_steps": STEPS, "limit_val_batches": 0, "enable_checkpointing": True}

    def keeper() -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)

    with pytest.raises(RuntimeError, match="a power cut"):
        failed = make_segmenter(whole.name)
        make_trainer(callbacks=[keeper(), Fails(2)], **settings).fit(failed, make_data(whole.name))
    resumed = make_segmenter(whole.name)
    for value in resumed.state_dict().values():
        value.zero_()  # nothing but the checkpoint may count
    make_trainer(callbacks=[keeper()], **settings).fit(
        resumed, make_data(whole.name), ckpt_path=tmp_path / "step=2.ckpt", weights_only=True
    )
    assert_equal(resumed.state_dict(), whole.segmenter.state_dict())


def test_half_precision_has_finite_terms(whole: Run, make_trainer: Any) -> None:
    segmenter = make_segmenter(whole.name)
    make_trainer(max_steps=2, limit_val_batches=0, precision="bf16-mixed").fit(segmenter, make_data(whole.name))
    assert all(value.isfinite().all() for value in segmenter.state_dict().values())


def test_labels_that_were_not_given_change_nothing(whole: Run, make_trainer: Any) -> None:
    given = make_data(whole.name).labelled_names
    lacking, garbage = (Guarded(look="dusk", size=(32, 48), train=10, val=3, test=3) for _ in range(2))
    lacking.has_masks = False
    garbage.given = frozenset(given)
    for target in [garbage] if given else [garbage, lacking]:
        segmenter = make_segmenter(whole.name)
        make_trainer(max_steps=STEPS, limit_val_batches=0).fit(segmenter, make_data(whole.name, target))
        assert_equal(segmenter.state_dict(), whole.segmenter.state_dict())


def test_clipping_sees_the_gradient_of_all_terms(whole: Run, make_trainer: Any) -> None:
    segmenter = make_segmenter(whole.name)
    make_trainer(max_steps=1, limit_val_batches=0, gradient_clip_val=1e-3).fit(segmenter, make_data(whole.name))
    raw = {name: one for name, one in whole.recorder.gradients[0].items() if name not in whole.recorder.held[0]}
    norm = torch.cat([one.flatten() for one in raw.values()]).norm()
    assert norm > 1e-3
    clipped = {name: p.grad for name, p in segmenter.named_parameters() if p.grad is not None}
    assert clipped.keys() == raw.keys()
    for name, gradient in clipped.items():
        torch.testing.assert_close(gradient, raw[name] * 1e-3 / norm, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("under", ["its own", "another", "none"])
def test_a_checkpoint_scores_the_same_under_any_strategy(under: str, whole: Run, make_trainer: Any) -> None:
    data = make_data(whole.name)
    scores = make_trainer().validate(deepcopy(whole.segmenter), data, verbose=False)[0]
    strategy = {"its own": tiny.make_strategy(whole.name), "another": SourceOnly(), "none": None}[under]
    segmenter = tiny.make_segmenter(strategy)
    path = whole.folder / f"step={STEPS}.ckpt"
    found = make_trainer().validate(segmenter, data, ckpt_path=path, verbose=False, weights_only=True)[0]
    # What a checkpoint hands on is the network for the target: layers of the source's own stay behind.
    live = whole.segmenter
    same = live.inference_network("source") is live.inference_network("target")
    compared = [name for name in scores if same or name.startswith("val/target/")]
    assert compared and {name: found[name] for name in compared} == {name: scores[name] for name in compared}
    assert found.keys() == scores.keys()

"""The training step: its gradients are those of a hand-written loop over the summed loss."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny import Recorder, assert_gradients_close, replayed_gradients
from torch import nn
from torch.optim import SGD

from datamodules import CrossDomainDataModule
from datamodules.batch import Batch
from strategies import FineTune, Losses, Network, PartialFreezing, SourceOnly, Step, Strategy


class ThreeTerms(Strategy):
    """Two graphs, one of which carries two terms, and a part of its own."""

    optional_streams = ("target",)

    def build(self, network: Network, classes: Any) -> None:
        self.scale = nn.Parameter(torch.ones(1))

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        logits = network(batch["source"]["image"])
        yield {"mean": logits.mean(), "square": 0.1 * logits.square().mean()}
        yield {"target": (self.scale * network(batch["target"]["image"]).softmax(1)[:, 0]).mean()}


@pytest.mark.parametrize("strategy", [ThreeTerms, SourceOnly, lambda: FineTune(also_source=True)])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradients_equal_one_backward_of_the_summed_loss(
    strategy: Callable[[], Strategy], accumulate: int, make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    segmenter = make_segmenter(strategy(), optimizer=lambda groups: SGD(groups, lr=0.1))
    recorder = Recorder()
    make_trainer(max_steps=2, limit_val_batches=0, accumulate_grad_batches=accumulate, callbacks=[recorder]).fit(
        segmenter, make_data(labels="all")
    )
    assert len(recorder.gradients) == 2
    for step, gradients in enumerate(recorder.gradients):
        first = step * accumulate
        batches = [(0, index, recorder.batches[index]) for index in range(first, first + accumulate)]
        expected = replayed_gradients(segmenter, recorder.before[first], batches, Step(step, 2), set())
        assert_gradients_close(gradients, expected)


def test_the_encoder_learns_at_a_share_of_the_rate(make_data: Any, make_segmenter: Any, make_trainer: Any) -> None:
    moved = []
    for settings in ({}, {"encoder_lr_scale": 0.1}):
        segmenter = make_segmenter(SourceOnly(), optimizer=lambda groups: SGD(groups, lr=1.0), **settings)
        before = {name: p.detach().clone() for name, p in segmenter.named_parameters()}
        make_trainer(max_steps=1, limit_val_batches=0).fit(segmenter, make_data())
        moved.append({name: p.detach() - before[name] for name, p in segmenter.named_parameters()})
    for name, change in moved[0].items():
        share = 0.1 if name.startswith("network.encoder.") else 1.0
        torch.testing.assert_close(moved[1][name], share * change, rtol=1e-3, atol=1e-6)
    with pytest.raises(ValueError, match=r"model.encoder_lr_scale is 0; .* PartialFreezing"):
        make_segmenter(SourceOnly(), encoder_lr_scale=0)


def test_clipping_sees_the_gradient_of_all_terms(make_data: Any, make_segmenter: Any, make_trainer: Any) -> None:
    recorder = Recorder()
    segmenter = make_segmenter(ThreeTerms(), optimizer=lambda groups: SGD(groups, lr=1.0))
    before = [p.detach().clone() for p in segmenter.parameters()]
    make_trainer(max_steps=1, limit_val_batches=0, gradient_clip_val=1e-3, callbacks=[recorder]).fit(
        segmenter, make_data()
    )
    moved = torch.cat([(a - b).flatten() for a, b in zip(segmenter.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_bf16_differs_from_a_summed_loss_by_rounding_only(
    make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    recorder = Recorder()
    segmenter = make_segmenter(ThreeTerms(), optimizer=lambda groups: SGD(groups, lr=0.0))
    make_trainer(max_steps=1, limit_val_batches=0, precision="bf16-mixed", callbacks=[recorder]).fit(
        segmenter, make_data()
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        replayed = replayed_gradients(segmenter, recorder.before[0], [(0, 0, recorder.batches[0])], Step(0, 1), set())
    assert replayed.keys() == recorder.gradients[0].keys()
    expected = torch.cat([gradient.flatten() for gradient in replayed.values()])
    found = torch.cat([recorder.gradients[0][name].flatten() for name in replayed])
    assert (found - expected).norm() / expected.norm() < 0.02


def test_each_term_is_freed_before_the_next_is_made(make_data: Any, make_segmenter: Any, make_trainer: Any) -> None:
    freed = []

    class Checks(Strategy):
        def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
            logits = network(batch["source"]["image"])
            yield {"first": logits.square().mean()}
            # A graph that was back-propagated refuses to be used again: its activations are gone.
            with pytest.raises(RuntimeError, match="backward through the graph a second time"):
                logits.sum().backward()
            freed.append(True)
            yield {"second": network(batch["source"]["image"]).mean()}

    make_trainer(max_steps=1, limit_val_batches=0).fit(make_segmenter(Checks()), make_data())
    assert freed


class Notes(SourceOnly):
    """Notes where it is told that training is."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, int, int, int]] = []

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        self.told.append(("losses", step.index, step.total, step.epoch))
        yield from super().losses(network, batch, step)

    def after_step(self, network: Network, step: Step) -> None:
        self.told.append(("after", step.index, step.total, step.epoch))


def test_the_step_says_where_training_is_also_under_accumulation(
    make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    """Five batches an epoch, two a step: three steps an epoch, the last of one batch."""
    strategy = Notes()
    make_trainer(max_epochs=2, limit_val_batches=0, accumulate_grad_batches=2).fit(
        make_segmenter(strategy), make_data(steps_per_epoch=5)
    )
    expected = []
    for index, batches in enumerate([2, 2, 1, 2, 2, 1]):
        where = (index, 6, index // 3)
        expected += [("losses", *where)] * batches + [("after", *where)]
    assert strategy.told == expected


def test_a_step_in_which_nothing_trains_names_the_terms(make_data: Any, make_segmenter: Any, make_trainer: Any) -> None:
    class Lost(SourceOnly):
        def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
            for named in super().losses(network, batch, step):
                yield {name: value.detach() for name, value in named.items()}

    with pytest.raises(
        ValueError, match="Lost: no term of step 0 depends on anything that trains in it; the terms are"
    ):
        make_trainer(max_steps=1, limit_val_batches=0).fit(make_segmenter(Lost()), make_data())


class Yields(Strategy):
    def __init__(self, *dicts: dict[str, Any]) -> None:
        super().__init__()
        self.dicts = dicts

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        anything = network(batch["source"]["image"]).mean()
        for named in self.dicts:
            yield {name: value(anything) if callable(value) else value for name, value in named.items()}


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (Yields(), "Yields.losses yielded no term"),
        (Yields({"a": 1.0}), "the term 'a' is float, not a scalar tensor"),
        (Yields({"a": lambda t: t.expand(2)}), r"the term 'a' is \(2,\), not a scalar"),
        (Yields({"a": lambda t: t}, {"a": lambda t: t * 2}), "the term 'a' twice"),
        (Yields({"total": lambda t: t}), "'total' twice or uses a reserved name"),
        (Strategy(), "Strategy must define losses"),
        (None, "There is no strategy to train by"),
    ],
)
def test_a_broken_contract_names_the_strategy_and_the_term(
    strategy: Strategy | None, message: str, make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    with pytest.raises((ValueError, NotImplementedError), match=message):
        make_trainer(max_steps=1, limit_val_batches=0).fit(make_segmenter(strategy), make_data())


class Breaks(SourceOnly):
    """Becomes NaN in the third step."""

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        for named in super().losses(network, batch, step):
            yield {name: value * (float("nan") if step.index == 2 else 1.0) for name, value in named.items()}


def test_nan_stops_one_step_later_and_names_the_term_and_the_files(
    make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    segmenter = make_segmenter(Breaks())
    recorder = Recorder()
    trainer = make_trainer(max_steps=9, limit_val_batches=0, callbacks=[recorder])
    with pytest.raises(FloatingPointError, match="in step 2: segmentation is not finite") as caught:
        trainer.fit(segmenter, make_data())
    assert all(name in str(caught.value) for name in recorder.batches[2]["source"]["name"])
    assert trainer.global_step == 3


def test_nan_leaves_the_last_good_checkpoint(
    tmp_path: Path, make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    keeper = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1, save_last=True)
    trainer = make_trainer(max_steps=9, limit_val_batches=0, enable_checkpointing=True, callbacks=[keeper])
    with pytest.raises(FloatingPointError, match="in step 2"):
        trainer.fit(make_segmenter(Breaks()), make_data())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "step=1.ckpt", "step=2.ckpt"]
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in state.values())


def test_nan_in_the_last_step_is_not_a_good_end(make_data: Any, make_segmenter: Any, make_trainer: Any) -> None:
    with pytest.raises(FloatingPointError, match="in step 2"):
        make_trainer(max_steps=3, limit_val_batches=0).fit(make_segmenter(Breaks()), make_data())


def test_the_strategy_gets_the_streams_it_declares_and_no_others(
    make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    for strategy, expected in [
        (SourceOnly(), {"source"}),
        (FineTune(), {"labelled_target"}),
        (FineTune(also_source=True), {"labelled_target", "source"}),
        (ThreeTerms(), {"source", "target"}),
    ]:
        recorder = Recorder()
        trainer = make_trainer(max_steps=1, limit_val_batches=0, callbacks=[recorder])
        trainer.fit(make_segmenter(strategy), make_data(labels="all"))
        assert set(recorder.batches[0]) == expected
        if "target" in expected:
            assert "mask" not in recorder.batches[0]["target"]


def test_fine_tuning_the_head_alone_leaves_the_encoder_and_its_statistics(
    make_data: Any, make_segmenter: Any, make_trainer: Any
) -> None:
    segmenter = make_segmenter(PartialFreezing())
    before = {name: value.clone() for name, value in segmenter.network.state_dict().items()}
    make_trainer(max_steps=2, limit_val_batches=0).fit(segmenter, make_data(labels="all"))
    changed = {name for name, value in segmenter.network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and not any(name.startswith("encoder.") for name in changed)


def test_fine_tune_without_labels_names_the_setting(make_data: Any, make_segmenter: Any, make_trainer: Any) -> None:
    with pytest.raises(ValueError, match=r"data\.labels is none"):
        make_trainer(max_steps=1).fit(make_segmenter(FineTune()), make_data())


def test_values_reach_the_strategy_raw(
    make_data: Callable[..., CrossDomainDataModule], make_segmenter: Any, make_trainer: Any
) -> None:
    recorder = Recorder()
    make_trainer(max_steps=1, limit_val_batches=0, callbacks=[recorder]).fit(make_segmenter(SourceOnly()), make_data())
    source = recorder.batches[0]["source"]
    assert source["image"].dtype == torch.float32 and source["mask"].dtype == torch.int64
    assert source["image"].min() >= 0 and 0.5 < source["image"].max() <= 1
    assert source["image"].shape == (2, 3, 32, 32) and source["mask"].shape == (2, 32, 32)

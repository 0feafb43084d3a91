"""ClassMix: a step of DACS, its gradients and what it logs against the formula written out."""

import math
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from jsonargparse import ArgumentParser
from self_training import UNCHANGED, Ran, assert_logs, assert_step, make_batch, run, teacher_says, written_out
from torch import Tensor

from strategies import ClassMix, Strategy

THRESHOLD = 0.185
"""What four in ten pixels reach."""


def pasted_in(ran: Ran, batch: Any) -> Tensor:
    """Where the image that the student saw last is the source's; elsewhere it must be the target's."""
    mixed = ran.seen[-1]
    pasted = (mixed == batch["source"]["image"]).all(dim=1)
    assert torch.equal(mixed, torch.where(pasted.unsqueeze(1), batch["source"]["image"], batch["target"]["image"]))
    return pasted


@pytest.mark.parametrize(
    ("mix", "weighting", "labelled"),
    [("classes", "share", False), ("classes", "pixel", True), ("boxes", "share", True), ("boxes", "pixel", False)],
)
def test_a_step_is_that_of_dacs(mix: Any, weighting: Any, labelled: bool) -> None:
    batch = make_batch(labelled=labelled)
    assert (batch["source"]["mask"] == 255).any()
    strategy = ClassMix(threshold=THRESHOLD, weighting=weighting, weight=0.7, strong=UNCHANGED, mix=mix)
    ran = run(strategy, batch)
    pasted = pasted_in(ran, batch)
    for mask, inside in zip(batch["source"]["mask"], pasted, strict=True):
        picked, left = set(mask[inside].tolist()), set(mask[~inside].tolist())
        if mix == "classes":
            assert not picked & left and len(picked) == math.ceil(len(picked | left) / 2)
        else:
            assert int(inside.sum()) == pytest.approx(16 * 24 / 2, abs=20)
    loss, labels, confident = written_out(ran.network, strategy, batch, pasted, weighting, THRESHOLD)
    assert 0.3 < confident.mean() < 0.5
    assert_step(ran, loss, batch, 0.7)
    assert_logs(ran, labels, confident, teacher_says(strategy, batch)[0], ~pasted.numpy())
    # Shared is what the teacher says of the target, not of the mix.
    assert np.array_equal(ran.step.shared["pseudo_labels"].numpy(), teacher_says(strategy, batch)[0])


def test_the_mix_as_a_whole_is_changed_in_colour() -> None:
    batch = make_batch()
    plain, strong = (run(ClassMix(strong=one), batch).seen[-1] for one in (UNCHANGED, None))
    assert plain.shape == strong.shape and not torch.allclose(plain, strong, atol=0.02)


def test_other_steps_and_ranks_paste_others() -> None:
    batch = make_batch()
    drawn = [pasted_in(run(ClassMix(strong=UNCHANGED), batch, chance), batch) for chance in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("weighting", ["share", "pixel"])
def test_where_nothing_is_confident_the_pasted_pixels_alone_teach(weighting: Any) -> None:
    batch = make_batch()
    ran = run(ClassMix(threshold=1.0, weighting=weighting, strong=UNCHANGED), batch)
    pasted, mask = pasted_in(ran, batch), batch["source"]["mask"]
    likelihoods = ran.network(ran.seen[-1]).softmax(dim=1).detach()
    counted = (pasted & (mask != 255)).nonzero().tolist()
    total = sum(-math.log(likelihoods[b, mask[b, row, column], row, column]) for b, row, column in counted)
    assert ran.terms["pseudo_labels"].item() == pytest.approx(total / mask.numel(), rel=1e-4)


def test_a_source_without_a_label_pastes_itself_and_teaches_nothing() -> None:
    """255 counts as a class, so the one class that there is fills the half of it, rounded up."""
    batch = make_batch()
    batch["source"]["mask"] = torch.full_like(batch["source"]["mask"], 255)
    ran = run(ClassMix(threshold=0.1, strong=UNCHANGED), batch)
    assert torch.equal(ran.seen[-1], batch["source"]["image"])
    assert ran.terms["segmentation"].item() == 0 and ran.terms["pseudo_labels"].item() == 0
    assert not any(one.any() for one in ran.gradients)
    assert all(math.isfinite(value) for value in ran.step.logged.values())


def test_crops_may_have_another_size_in_each_step() -> None:
    strategy = ClassMix(threshold=0.1, mix="boxes")
    for size in ((16, 24), (32, 8)):
        ran = run(strategy, make_batch(size))
        assert ran.seen[-1].shape == (2, 3, *size) and all(one.isfinite().all() for one in ran.gradients)


def test_true_half_precision_trains(make_trainer: Any) -> None:
    """Torch's default type is another then, and so is that of the strategy's own numbers."""
    segmenter = tiny.make_segmenter(ClassMix(threshold=0.1))
    make_trainer(max_steps=2, limit_val_batches=0, precision="bf16-true").fit(segmenter, tiny.make_data(workers=0))
    assert all(value.isfinite().all() for value in segmenter.state_dict().values())


def test_a_config_sets_the_strong_view() -> None:
    parser = ArgumentParser()
    parser.add_argument("--strategy", type=Strategy)
    settings = {"class_path": "ClassMix", "init_args": {"strong": {"jitter": 0.2, "blur_sigma": [0.1, 2]}}}
    made = parser.instantiate_classes(parser.parse_object({"strategy": settings})).strategy
    assert isinstance(made, ClassMix)
    assert (made.strong.jitter, made.strong.blur_sigma, made.strong.jitter_chance) == (0.2, (0.1, 2.0), 0.8)


def test_an_unknown_mix_is_refused_and_the_owner_of_a_wrong_number_named() -> None:
    mix: Any = "cows"
    with pytest.raises(ValueError, match=r"ClassMix\.mix is 'cows'; it is classes or boxes"):
        ClassMix(mix=mix)
    with pytest.raises(ValueError, match=r"ClassMix\.momentum is 1"):
        ClassMix(momentum=1)

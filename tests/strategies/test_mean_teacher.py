"""MeanTeacher: a step, its gradients and what it logs against the formula written out, and its teacher."""

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from self_training import UNCHANGED, assert_logs, assert_step, make_batch, run, teacher_says, written_out
from torch import Tensor

from strategies import MeanTeacher, Step

NOTHING = torch.zeros(2, 16, 24, dtype=torch.bool)
THRESHOLD = 0.185
"""What four in ten pixels reach."""


@pytest.mark.parametrize(("weighting", "labelled"), [("share", True), ("pixel", False)])
def test_a_step_is_the_formula_written_out(weighting: Any, labelled: bool) -> None:
    batch = make_batch(labelled=labelled)
    strategy = MeanTeacher(threshold=THRESHOLD, weighting=weighting, weight=0.7, strong=UNCHANGED)
    ran = run(strategy, batch)
    loss, labels, confident = written_out(ran.network, strategy, batch, NOTHING, weighting, THRESHOLD)
    assert 0.3 < confident.mean() < 0.5
    assert_step(ran, loss, batch, 0.7)
    assert_logs(ran, labels, confident, labels, ~NOTHING.numpy())
    assert np.array_equal(ran.step.shared["pseudo_labels"].numpy(), labels)
    weights = confident if weighting == "pixel" else np.full(labels.shape, confident.mean())
    np.testing.assert_allclose(ran.step.shared["pseudo_weights"].numpy(), weights, rtol=1e-5)


def test_the_teacher_sees_the_image_and_the_student_its_strong_view() -> None:
    batch = make_batch()
    strategy = MeanTeacher()
    ran = run(strategy, batch)
    source, strong = ran.seen
    assert torch.equal(source, batch["source"]["image"])
    assert not torch.allclose(strong, batch["target"]["image"], atol=0.02)
    # By the unchanged image, as the teacher's labels show.
    assert np.array_equal(ran.step.shared["pseudo_labels"].numpy(), teacher_says(strategy, batch)[0])


@pytest.mark.parametrize("weighting", ["share", "pixel"])
def test_where_nothing_is_confident_the_target_teaches_nothing(weighting: Any) -> None:
    batch = make_batch()
    ran = run(MeanTeacher(threshold=1.0, weighting=weighting), batch)
    source = run(MeanTeacher(weight=0), batch)
    assert ran.terms["pseudo_labels"].item() == 0
    assert ran.step.logged["pseudo_labels/confident"] == 0
    for found, wanted in zip(ran.gradients, source.gradients, strict=True):
        torch.testing.assert_close(found, wanted)


def test_crops_may_have_another_size_in_each_step() -> None:
    strategy = MeanTeacher(threshold=0.1)
    for size in ((16, 24), (32, 8)):
        ran = run(strategy, make_batch(size))
        assert ran.seen[-1].shape == (2, 3, *size) and all(one.isfinite().all() for one in ran.gradients)


def test_the_teacher_moves_by_the_step_and_is_what_infers() -> None:
    network: Any = tiny.make_segmenter(None).network
    strategy = MeanTeacher(momentum=0.9)
    strategy.build(network, ["a", "b"])
    name = "segmentation_head.0.weight"
    wanted: Tensor = network.get_parameter(name).detach().clone()
    for index, kept in [(0, 0), (1, 1 / 2), (2, 2 / 3), (400, 0.9)]:  # min(1 − 1 / (index + 1), momentum)
        with torch.no_grad():
            network.get_parameter(name).add_(index + 1)
        strategy.after_step(network, Step(index, 500))
        wanted = kept * wanted + (1 - kept) * network.get_parameter(name).detach()
        torch.testing.assert_close(strategy.mean_teacher.network.get_parameter(name), wanted)
    assert strategy.teacher is strategy.mean_teacher
    for domain in ("source", "target"):
        assert strategy.inference_network(network, domain) is strategy.mean_teacher.network


def test_what_reaches_the_threshold_is_labelled() -> None:
    probabilities = torch.tensor([[0.97, 0.5, 0.04], [0.03, 0.5, 0.96]]).view(1, 2, 1, 3)
    assert MeanTeacher(threshold=0.96).pseudo_labels(probabilities).tolist() == [[[0, 255, 1]]]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"momentum": 1}, r"MeanTeacher\.momentum is 1; it is in \[0, 1\)"),
        ({"threshold": 96.8}, r"MeanTeacher\.threshold is 96\.8; it is a probability"),
        ({"weighting": "mean"}, r"MeanTeacher\.weighting is 'mean'; it is share or pixel"),
        ({"weight": -1}, r"MeanTeacher\.weight is -1; give 0"),
    ],
)
def test_settings_out_of_range_are_refused(setting: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MeanTeacher(**setting)

"""Scores against formulas and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

from lightning_app.metrics import ConfusionMatrix, Scores, count_pairs, metric_names

CLASSES = ["road", "sky", "car", "unicorn"]


def test_scores_equal_scikit_learn_over_the_whole_set_not_the_mean_of_images() -> None:
    generator = np.random.default_rng(0)
    confusion = ConfusionMatrix(4)
    truths, predictions = [], []
    for height in (5, 17, 3):  # images of different sizes: a mean over images would differ
        truth, prediction = generator.integers(0, 3, (2, 1, height, 8))
        truth[0, 0, :2] = 255
        confusion.update(count_pairs(torch.from_numpy(prediction), torch.from_numpy(truth), 4))
        truths.append(truth[truth != 255])
        predictions.append(prediction[truth != 255])
    truth, prediction = np.concatenate(truths), np.concatenate(predictions)
    scores = Scores.from_confusion(confusion.compute(), CLASSES)
    expected = jaccard_score(truth, prediction, average=None, labels=[0, 1, 2])
    assert list(scores.iou) == ["road", "sky", "car"]
    np.testing.assert_allclose(list(scores.iou.values()), expected, rtol=1e-6)
    assert scores.miou == pytest.approx(expected.mean())
    assert scores.pixel_accuracy == pytest.approx(accuracy_score(truth, prediction))
    assert scores.mean_dice == pytest.approx(f1_score(truth, prediction, average="macro"))
    assert scores.pixels == truth.size


def test_an_absent_class_is_left_out_and_named() -> None:
    scores = Scores.from_confusion(torch.tensor([[4, 0, 0], [0, 4, 0], [0, 0, 0]]), ["a", "b", "c"])
    assert scores.miou == 1
    assert scores.absent == ["c"]
    assert "val/target/iou/c" not in scores.named("val/target")


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    scores = Scores.from_confusion(torch.tensor([[4, 0], [0, 0]]) + torch.tensor([[0, 4], [0, 0]]), ["a", "b"])
    assert scores.iou == {"a": 0.5, "b": 0.0}


def test_a_set_without_a_label_has_no_score() -> None:
    with pytest.raises(ValueError, match="Every pixel of the masks is 255"):
        Scores.from_confusion(torch.zeros(3, 3), ["a", "b", "c"])


def test_the_names_known_before_training_are_the_names_logged() -> None:
    scores = Scores.from_confusion(torch.eye(4) * 3, CLASSES, calibration=torch.tensor([[12, 9.0, 12]]))
    assert list(scores.named("val/source")) == metric_names("val/source", CLASSES)


def test_shared_classes_have_a_mean_of_their_own_by_the_same_matrix() -> None:
    generator = np.random.default_rng(1)
    truth, prediction = generator.integers(0, 4, (2, 400))
    matrix = torch.from_numpy(confusion_matrix(truth, prediction))
    scores = Scores.from_confusion(matrix, CLASSES, ["road", "car"], calibration=torch.tensor([[400, 300.0, 100]]))
    # Pixels of classes that only one domain has count as errors where they are taken for a shared one.
    assert scores.shared_miou == pytest.approx(jaccard_score(truth, prediction, average=None)[[0, 2]].mean())
    assert scores.shared_miou != pytest.approx(scores.miou)
    named = scores.named("val/target")
    assert named["val/target/miou_shared"] == scores.shared_miou
    assert list(named) == metric_names("val/target", CLASSES, shared=True)


def test_where_all_classes_are_shared_there_is_one_mean() -> None:
    assert Scores.from_confusion(torch.eye(4), CLASSES, shared=CLASSES).shared_miou is None
    assert "val/source/miou_shared" not in metric_names("val/source", CLASSES)


def test_each_image_is_counted_on_its_own() -> None:
    # Higher than what is counted at a time.
    truth = torch.tensor([[[0, 1, 255]], [[1, 1, 1]], [[255, 255, 255]]]).repeat(1, 600, 1)
    prediction = torch.tensor([[[0, 0, 2]], [[1, 1, 2]], [[0, 1, 2]]], dtype=torch.uint8).repeat(1, 600, 1)
    counts = count_pairs(prediction, truth, 3)
    for found, one, other in zip(counts, truth.flatten(1), prediction.flatten(1), strict=True):
        labels = one != 255
        wanted = confusion_matrix(one[labels], other[labels], labels=[0, 1, 2]) if labels.any() else np.zeros((3, 3))
        np.testing.assert_array_equal(found, wanted)

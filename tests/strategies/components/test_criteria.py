"""Criteria against formulas written out here."""

import math

import pytest
import torch
from torch import Tensor

from strategies.components.criteria import Criterion, CrossEntropy, Dice, Focal, Sum


@pytest.fixture
def logits() -> Tensor:
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)


@pytest.fixture
def mask() -> Tensor:
    mask = torch.randint(0, 3, (2, 4, 5), generator=torch.Generator().manual_seed(1))
    mask[0, :2] = 255
    return mask


def pixels(logits: Tensor, mask: Tensor) -> list[tuple[list[float], int]]:
    """Softmax and class of every pixel that counts, as plain numbers."""
    found = []
    for b, h, w in (mask != 255).nonzero().tolist():
        exponentials = [math.exp(value) for value in logits[b, :, h, w].tolist()]
        found.append(([value / sum(exponentials) for value in exponentials], int(mask[b, h, w])))
    return found


def test_cross_entropy_is_the_mean_negative_log_of_the_true_class(logits: Tensor, mask: Tensor) -> None:
    terms = [-math.log(p[c]) for p, c in pixels(logits, mask)]
    assert CrossEntropy()(logits, mask).item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_class_weights_weigh_the_mean(logits: Tensor, mask: Tensor) -> None:
    weights = [0.5, 2.0, 1.0]
    terms = [(weights[c], -math.log(p[c])) for p, c in pixels(logits, mask)]
    expected = sum(w * t for w, t in terms) / sum(w for w, _ in terms)
    assert CrossEntropy(weights)(logits, mask).item() == pytest.approx(expected, rel=1e-5)


def test_two_classes_equal_the_binary_cross_entropy() -> None:
    logits = torch.randn(3, 2, 6, 7, generator=torch.Generator().manual_seed(2))
    truth = torch.randint(0, 2, (3, 6, 7), generator=torch.Generator().manual_seed(3))
    predicted = torch.sigmoid(logits[:, 1] - logits[:, 0]).double()
    binary = -(truth * predicted.log() + (1 - truth) * (1 - predicted).log()).sum() / truth.numel()
    assert CrossEntropy()(logits, truth).item() == pytest.approx(binary.item(), rel=1e-5)


def test_focal_plays_easy_pixels_down(logits: Tensor, mask: Tensor) -> None:
    terms = [(1 - p[c]) ** 2 * -math.log(p[c]) for p, c in pixels(logits, mask)]
    assert Focal(2.0)(logits, mask).item() == pytest.approx(sum(terms) / len(terms), rel=1e-4)
    assert Focal(0.0)(logits, mask).item() == pytest.approx(CrossEntropy()(logits, mask).item(), rel=1e-5)


def test_dice_is_the_mean_over_the_classes_in_the_mask(logits: Tensor, mask: Tensor) -> None:
    mask = mask.masked_fill(mask == 2, 1)  # class 2 is predicted but never true
    counted = pixels(logits, mask)
    expected = []
    for c in (0, 1):
        overlap = sum(p[c] for p, true in counted if true == c)
        size = sum(p[c] for p, _ in counted) + sum(true == c for _, true in counted)
        expected.append(1 - (2 * overlap + 1) / (size + 1))
    assert Dice()(logits, mask).item() == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_a_sum_weighs_its_criteria(logits: Tensor, mask: Tensor) -> None:
    both = Sum({"entropy": CrossEntropy(), "dice": Dice()}, weights={"dice": 0.5})
    expected = CrossEntropy()(logits, mask) + 0.5 * Dice()(logits, mask)
    assert both(logits, mask).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("criterion", [CrossEntropy(), CrossEntropy([1.0, 2.0, 3.0]), Focal(), Focal(0.5), Dice()])
def test_a_batch_without_a_label_teaches_nothing(criterion: Criterion, logits: Tensor) -> None:
    loss = criterion(logits, torch.full((2, 4, 5), 255))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None and not logits.grad.any()


@pytest.mark.parametrize("criterion", [CrossEntropy(), Focal(), Focal(0.5), Dice()])
def test_certain_pixels_give_finite_gradients(criterion: Criterion) -> None:
    logits = torch.tensor([200.0, 0.0]).view(1, 2, 1, 1).requires_grad_()
    criterion(logits, torch.zeros(1, 1, 1, dtype=torch.int64)).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


@pytest.mark.parametrize("criterion", [CrossEntropy(), Focal(), Dice()])
def test_half_precision_logits_are_computed_in_float32(criterion: Criterion, logits: Tensor, mask: Tensor) -> None:
    assert criterion(logits.bfloat16(), mask).dtype == torch.float32


def test_class_weights_of_true_half_precision_weigh_float32_logits(logits: Tensor, mask: Tensor) -> None:
    weights = [0.5, 2.0, 1.0]  # which bfloat16 holds as they are
    assert torch.equal(CrossEntropy(weights).bfloat16()(logits, mask), CrossEntropy(weights)(logits, mask))


def test_settings_without_a_meaning_are_refused(logits: Tensor, mask: Tensor) -> None:
    with pytest.raises(ValueError, match="one > 0 for each class"):
        CrossEntropy([1.0, 0.0])
    with pytest.raises(ValueError, match="has 2 numbers, but there are 3 classes"):
        CrossEntropy([1.0, 1.0])(logits, mask)
    with pytest.raises(ValueError, match=r"Focal\.gamma is -1"):
        Focal(-1)
    with pytest.raises(ValueError, match="names \\['dise'\\]"):
        Sum({"dice": Dice()}, weights={"dise": 1.0})

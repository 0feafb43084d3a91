"""Which pixels are drawn, what they count, and which label a cell of a map has."""

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec
from strategies.components.pixel_sampling import labels_of_cells, sample_pixels


def numbered(*shape: int) -> Tensor:
    """A map whose pixels have their own number as their feature."""
    batch, height, width = shape
    return torch.arange(batch * height * width).view(batch, 1, height, width).float()


def test_pixels_are_those_of_the_map_each_at_most_once() -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 4, 5)
    features, weights = sample_pixels(maps, 17)
    assert features.shape == (17, 3)
    assert len({tuple(one.tolist()) for one in features}) == 17
    for one in features:
        assert any(torch.equal(one, maps[b, :, h, w]) for b in range(2) for h in range(4) for w in range(5))
    assert (weights == weights[0]).all() and weights[0] > 0


@pytest.mark.parametrize("count", [40, 41, 1000])
def test_a_map_with_fewer_pixels_gives_all_of_them(count: int) -> None:
    features, weights = sample_pixels(numbered(2, 4, 5), count)
    assert sorted(features.flatten().tolist()) == list(range(40))
    assert len(weights) == 40


def test_every_pixel_is_as_likely_as_any_other() -> None:
    torch.manual_seed(0)
    draws = torch.cat([sample_pixels(numbered(1, 4, 5), 5).features for _ in range(1000)]).flatten().int()
    counts = np.bincount(draws.numpy(), minlength=20)
    # 250 each by expectation, with a standard deviation below 14.
    assert counts.min() > 190 and counts.max() < 310


def test_classes_are_equally_likely_and_count_the_same() -> None:
    torch.manual_seed(0)
    labels = torch.zeros(1, 20, 20, dtype=torch.int64)
    labels[0, :5] = 1
    labels[0, 19, 10:] = 2  # 290, 100 and 10 pixels
    first = torch.zeros(3)
    for _ in range(900):
        features, _ = sample_pixels(numbered(1, 20, 20), 1, labels)
        first[labels.flatten()[int(features)]] += 1
    assert first.min() > 240 and first.max() < 360
    features, weights = sample_pixels(numbered(1, 20, 20), 60, labels)
    drawn = labels.flatten()[features.flatten().long()]
    assert len(set(features.flatten().tolist())) == 60
    shares = [float(weights[drawn == label].sum() / weights.sum()) for label in range(3)]
    assert shares == pytest.approx([1 / 3] * 3)
    # The rare class has but 10 pixels: the others get its share of the draws, and not of the weight.
    assert (drawn == 2).sum() >= 8
    assert abs(int((drawn == 0).sum() - (drawn == 1).sum())) < 20


def test_ignored_pixels_are_not_drawn_while_there_are_others_and_never_count() -> None:
    torch.manual_seed(0)
    labels = torch.full((1, 6, 6), 255)
    labels[0, 2, 1:5] = 3
    for _ in range(50):
        features, weights = sample_pixels(numbered(1, 6, 6), 4, labels)
        assert sorted(features.flatten().tolist()) == [13, 14, 15, 16] and (weights > 0).all()
    for count in (8, 100):
        features, weights = sample_pixels(numbered(1, 6, 6), count, labels)
        assert sorted(features.flatten()[weights > 0].tolist()) == [13, 14, 15, 16]
    _, weights = sample_pixels(numbered(1, 6, 6), 8, torch.full((1, 6, 6), 255))
    assert not weights.any()


def test_pixels_are_counted_in_single_precision_under_true_half_precision() -> None:
    """Lightning makes half the default type then, in which a device counts to 256 and no further."""
    labels = (torch.arange(4000).view(1, 40, 100) < 1001).long()
    torch.set_default_dtype(torch.bfloat16)
    try:
        weights = sample_pixels(torch.zeros(1, 1, 40, 100), 5000, labels).weights
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(1 / weights, torch.where(labels.flatten() == 1, 1001.0, 2999.0))


def test_gradients_go_to_what_was_drawn() -> None:
    torch.manual_seed(0)
    maps = torch.randn(1, 2, 4, 4).requires_grad_()
    features, _ = sample_pixels(maps.bfloat16(), 5)
    assert features.dtype == torch.float32
    features.sum().backward()
    assert maps.grad is not None
    assert maps.grad.sum(dim=(0, 2, 3)).tolist() == [5, 5] and maps.grad.unique().tolist() == [0, 1]


def winners(cell: Tensor, classes: int) -> set[int]:
    """The labels that most pixels have, several where as many have them; 255 where there is no pixel."""
    votes = {label: cell.flatten().tolist().count(label) for label in (*range(classes), 255)}
    return {label for label, count in votes.items() if count == max(votes.values())} if cell.numel() else {255}


@pytest.mark.parametrize(("height", "width"), [(32, 48), (37, 50), (8, 9)])
def test_a_cell_has_the_label_of_most_of_its_pixels(height: int, width: int) -> None:
    torch.manual_seed(0)
    network: Any = tiny.make_segmenter(None).network  # pads to multiples of 8
    mask = torch.randint(0, 3, (2, height, width))
    mask[torch.rand(mask.shape) < 0.3] = 255
    maps = network.features(torch.zeros(2, 3, height, width))
    assert len({one.shape[-1] for one in maps}) > 2
    for one in maps:
        size = (one.shape[-2], one.shape[-1])
        stride = -(-width // 8) * 8 // size[1]
        found = labels_of_cells(network, mask, size, 3)
        assert found.shape == (2, *size)
        for image, row, column in np.ndindex(*found.shape):
            rows, columns = (slice(at * stride, (at + 1) * stride) for at in (row, column))
            assert int(found[image, row, column]) in winners(mask[image, rows, columns], 3)


def test_cells_of_padding_have_no_label() -> None:
    network = SegmentationNetwork(NetworkSpec("Unet", "resnet18", ["a", "b"]))  # pads to multiples of 32
    found = labels_of_cells(network, torch.ones(1, 33, 40, dtype=torch.int64), (16, 16), 2)
    assert (found[0, :9, :10] == 1).all()
    assert (found[0, 9:] == 255).all() and (found[0, :, 10:] == 255).all()

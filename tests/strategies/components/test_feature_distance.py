"""Cells of classes and distances over them, against loops and numpy."""

import numpy as np
import pytest
import torch

from strategies.components.feature_distance import class_cells, feature_distance


def blocks(height: int, width: int) -> torch.Tensor:
    """Masks of blocks of 5 pixels: classes 0 to 3 and ignored."""
    drawn = np.random.default_rng(0).choice([0, 1, 2, 3, 255], (2, height // 5 + 1, width // 5 + 1))
    return torch.from_numpy(drawn.repeat(5, axis=1).repeat(5, axis=2)[:, :height, :width].copy())


@pytest.mark.parametrize("size", [(32, 48), (33, 44)], ids=["whole cells", "padded"])
@pytest.mark.parametrize("share", [0.51, 0.75, 1.0])
def test_a_cell_is_kept_where_its_majority_is_one_of_the_classes_and_large_enough(
    size: tuple[int, int], share: float
) -> None:
    stride, mask, things = 4, blocks(*size), [1, 3]
    cells = (-(-size[0] // stride), -(-size[1] // stride))
    wanted = np.zeros((2, *cells), bool)
    for image in range(2):
        for row in range(cells[0]):
            for column in range(cells[1]):
                cell = mask[image, row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
                ids, counts = np.unique(cell.numpy(), return_counts=True)
                most = counts.argmax()
                # Of all pixels of the cell: the ignored ones, and those beyond the image.
                wanted[image, row, column] = ids[most] in things and counts[most] / stride**2 >= share
    found = class_cells(mask, torch.tensor(things), stride, cells, share)
    assert 0 < wanted.sum() < wanted.size
    assert np.array_equal(found.numpy(), wanted)


def test_a_cell_at_the_share_is_kept_and_one_pixel_below_it_is_not() -> None:
    mask = torch.full((2, 8, 8), 255)
    mask[:, :6] = 7
    mask[1, 0, 0] = 2
    assert class_cells(mask, torch.tensor([7]), 8, (1, 1)).flatten().tolist() == [True, False]


def test_the_distance_is_the_mean_norm_over_the_cells_and_so_is_its_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 5, 3, 4, generator=generator, requires_grad=True)
    pretrained = torch.randn(2, 5, 3, 4, generator=generator)
    cells = torch.rand(2, 3, 4, generator=generator) < 0.4
    difference, kept = (features.detach() - pretrained).double().numpy(), cells.numpy()
    norms = np.sqrt((difference**2).sum(axis=1))
    distance = feature_distance(features, pretrained, cells)
    assert distance.item() == pytest.approx(norms[kept].mean(), rel=1e-6)
    distance.backward()
    wanted = difference / norms[:, None] * kept[:, None] / kept.sum()
    torch.testing.assert_close(features.grad, torch.from_numpy(wanted).float())


def test_maps_that_agree_and_masks_without_a_cell_have_a_gradient_of_zero() -> None:
    features = torch.randn(1, 5, 2, 2, requires_grad=True)
    everywhere = torch.ones(1, 2, 2, dtype=torch.bool)
    for pretrained, cells in ((features.detach(), everywhere), (torch.zeros(1, 5, 2, 2), ~everywhere)):
        distance = feature_distance(features, pretrained, cells)
        (gradient,) = torch.autograd.grad(distance, features)
        assert distance == 0 and torch.equal(gradient, torch.zeros_like(gradient))


def test_half_precision_is_summed_in_full() -> None:
    features, cells = torch.full((1, 512, 2, 2), 100.0, dtype=torch.float16), torch.ones(1, 2, 2, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        distance = feature_distance(features, torch.zeros_like(features), cells)
    assert distance.dtype == torch.float32
    assert distance.item() == pytest.approx(100 * 512**0.5)


@pytest.mark.parametrize(("size", "share", "message"), [((4, 4), 0.5, "share is 0.5"), ((3, 4), 0.75, "3x4 cells")])
def test_what_would_be_a_wrong_cell_is_refused(size: tuple[int, int], share: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_cells(torch.zeros(1, 32, 32, dtype=torch.int64), torch.tensor([0]), 8, size, share)

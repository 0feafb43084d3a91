"""What is pasted: half of the classes, or a box over half of the image."""

import math
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from strategies.components.mixing import box_mask, class_mask


@given(st.sets(st.sampled_from([0, 1, 2, 5, 18, 200, 254, 255]), min_size=1), st.integers(0, 2**32))
def test_half_of_the_classes_present_are_picked_whole_and_rounded_up(present: set[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.tensor(sorted(present))
    mask = ids[torch.randint(len(ids), (2, 6, 7), generator=generator)]
    torch.manual_seed(seed)
    for classes, picked in zip(mask, class_mask(mask), strict=True):
        inside, outside = set(classes[picked].tolist()), set(classes[~picked].tolist())
        assert not inside & outside, "a class is pasted in part"
        assert len(inside) == math.ceil(len(inside | outside) / 2)


def test_every_half_is_as_likely_as_any_other() -> None:
    torch.manual_seed(0)
    ids = torch.tensor([0, 3, 7, 200, 255])
    picked = class_mask(ids.expand(5000, 1, 5))[:, 0]
    counts = Counter(tuple(row) for row in picked.tolist())
    assert len(counts) == math.comb(5, 3)
    assert min(counts.values()) > 400 and max(counts.values()) < 600


def boxes(count: int, height: int, width: int) -> Tensor:
    """Draws (count, 4): top, left, rows, columns; each mask must be one full box."""
    found = box_mask(torch.zeros(count, height, width, dtype=torch.int64))
    drawn = []
    for one in found:
        rows, columns = one.any(dim=1).nonzero().flatten(), one.any(dim=0).nonzero().flatten()
        assert one[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert int(one.sum()) == len(rows) * len(columns)
        drawn.append([int(rows[0]), int(columns[0]), len(rows), len(columns)])
    return torch.tensor(drawn)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 90)])
def test_a_box_covers_half_of_the_image_but_for_rounding(height: int, width: int) -> None:
    torch.manual_seed(0)
    drawn = boxes(200, height, width)
    rows, columns = drawn[:, 2], drawn[:, 3]
    # Each side is within half a pixel of a share s and 0.5 / s of the image's.
    assert ((rows * columns - height * width / 2).abs() <= (rows + columns) / 2 + 0.25).all()
    assert (rows >= height // 2).all() and (columns >= width // 2).all()


def test_boxes_have_all_shapes_and_places() -> None:
    torch.manual_seed(0)
    top, left, rows, columns = boxes(2000, 200, 200).T.float()
    # The logarithm of a side's share is uniform: half of the boxes are higher than they are wide.
    assert (rows > columns).float().mean() == pytest.approx(0.5, abs=0.04)
    assert (rows < 200 * 0.5**0.75).float().mean() == pytest.approx(0.25, abs=0.04)
    for first, size in ((top, rows), (left, columns)):
        free = 200 - size
        place = (first / free)[free > 20]
        assert place.min() < 0.05 and place.max() > 0.95
        for share in (0.25, 0.5, 0.75):
            assert (place < share).float().mean() == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("mix", [class_mask, box_mask])
def test_the_images_of_a_batch_and_other_seeds_draw_others_and_the_same_seed_the_same(
    mix: Callable[[Tensor], Tensor],
) -> None:
    mask = torch.arange(36).view(1, 6, 6).expand(2, 6, 6)

    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return mix(mask)

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
    assert not torch.equal(*drawn(0))


def test_under_a_default_of_half_precision_chance_is_as_fine() -> None:
    """In bfloat16 many of 256 classes would draw the same number, and the first of them win."""
    before = torch.get_default_dtype()
    mask = torch.arange(256).view(1, 1, 256).expand(200, 1, 256)
    try:
        torch.set_default_dtype(torch.bfloat16)
        torch.manual_seed(0)
        half, box = class_mask(mask), box_mask(torch.zeros(1, 513, 513))
    finally:
        torch.set_default_dtype(before)
    torch.manual_seed(0)
    assert torch.equal(half, class_mask(mask))
    assert torch.equal(box, box_mask(torch.zeros(1, 513, 513)))

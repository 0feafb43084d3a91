"""Hidden blocks: where they are, how many, and what is refused."""

import numpy as np
import pytest
import torch

from strategies.components.block_mask import block_mask


@pytest.mark.parametrize(
    ("size", "block", "cells"),
    [
        ((64, 96), 16, (4, 6)),
        ((100, 90), 32, (3, 3)),  # stretched: 33 rows and 30 columns
        ((50, 41), 16, (3, 3)),
        ((32, 32), 32, (1, 1)),
    ],
)
def test_blocks_are_hidden_whole_and_cover_the_image(size: tuple[int, int], block: int, cells: tuple[int, int]) -> None:
    torch.manual_seed(0)
    mask = block_mask(torch.zeros(5, 3, *size), block, 0.5)
    assert mask.dtype == torch.bool and mask.shape == (5, 1, *size)
    row, column = (np.arange(side) * count // side for side, count in zip(size, cells, strict=True))
    seen = set()
    for image in mask[:, 0].numpy():
        for i in range(cells[0]):
            for j in range(cells[1]):
                part = image[np.ix_(row == i, column == j)]
                assert part.all() or not part.any()
        seen.add(image.tobytes())
    assert len(seen) > 1, "every image draws blocks of its own"


def test_the_share_of_hidden_blocks_is_the_ratio() -> None:
    torch.manual_seed(0)
    image = torch.zeros(8, 1, 200, 200)
    for ratio in (0.3, 0.7):
        blocks = block_mask(image, 4, ratio)[:, 0, ::4, ::4].float()
        deviation = (ratio * (1 - ratio) / blocks.numel()) ** 0.5
        assert abs(float(blocks.mean()) - ratio) < 4 * deviation
        # Neighbours are hidden independently of each other: both with the chance ratio².
        assert abs(float((blocks[:, :, 1:] * blocks[:, :, :-1]).mean()) - ratio**2) < 0.02
    assert not block_mask(image, 4, 0).any() and block_mask(image, 4, 1).all()


def test_it_is_drawn_anew_each_time_and_follows_from_the_seed() -> None:
    image = torch.zeros(2, 3, 64, 64)
    torch.manual_seed(3)
    first, second = block_mask(image, 8, 0.5), block_mask(image, 8, 0.5)
    torch.manual_seed(3)
    assert torch.equal(block_mask(image, 8, 0.5), first) and not torch.equal(first, second)


def test_a_block_larger_than_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"64 × 64 pixels is larger than .* 96 × 48: set MaskedConsistency\.block"):
        block_mask(torch.zeros(1, 3, 96, 48), 64, 0.7)

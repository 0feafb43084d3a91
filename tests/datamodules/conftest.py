"""Folders of small images and masks."""

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Returns a function that writes a root with images and, unless ``masks`` is empty, masks."""

    def make(
        folder: str = "target",
        count: int = 10,
        *,
        masks: Iterable[int] | None = None,
        size: tuple[int, int] = (12, 16),
        channels: int = 3,
        classes: int = 3,
        suffix: str = ".png",
        seed: int = 0,
    ) -> Path:
        root = tmp_path / folder
        (root / "images").mkdir(parents=True)
        generator = np.random.default_rng(seed)
        labelled = range(count) if masks is None else list(masks)
        if labelled:
            (root / "masks").mkdir()
        for index in range(count):
            shape = size if channels == 1 else (*size, channels)
            image = generator.integers(0, 256, shape, dtype=np.uint8)
            cv2.imwrite(str(root / "images" / f"{folder}_{index:02d}{suffix}"), image)
            if index in labelled:
                mask = generator.integers(0, classes, size, dtype=np.uint8)
                mask[0, :classes] = range(classes)
                cv2.imwrite(str(root / "masks" / f"{folder}_{index:02d}.png"), mask)
        return root

    return make

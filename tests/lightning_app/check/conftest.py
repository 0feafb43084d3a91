"""Two small domains in folders, and the check of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from datamodules import CrossDomainDataModule, FolderDomain
from lightning_app.check.inspection import inspect_data
from lightning_app.check.options import CheckOptions
from lightning_app.check.result import CheckResult
from strategies import EntropyMinimization, Strategy

Check = Callable[..., CheckResult]
COUNTS = {"train": 4, "val": 2, "test": 2}


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, Path]:
    """Source and target: 8 images of 12 × 16 pixels each, with masks of 3 classes, in listed splits."""
    made: dict[str, Path] = {}
    for seed, role in enumerate(("source", "target")):
        made[role] = root = tmp_path / role
        generator = np.random.default_rng(seed)
        for folder in ("images", "masks"):
            (root / folder).mkdir(parents=True)
        for split, count in COUNTS.items():
            names = [f"{split}_{number}" for number in range(count)]
            (root / f"{split}.txt").write_text("\n".join(names))
            for name in names:
                Image.fromarray(generator.integers(0, 256, (12, 16, 3), np.uint8)).save(root / f"images/{name}.png")
                mask = generator.integers(0, 3, (12, 16), np.uint8)
                mask[0, :4] = 0, 1, 2, 255
                Image.fromarray(mask).save(root / f"masks/{name}.png")
    return made


@pytest.fixture
def check(roots: dict[str, Path]) -> Check:
    """Checks the two domains; takes settings of each domain or other domains, of the data, and of the check."""

    def run(
        source: Any = None,
        target: Any = None,
        options: dict[str, Any] | None = None,
        strategy: Strategy | None = None,
        **settings: Any,
    ) -> CheckResult:
        given = {"source": source or {}, "target": target or {}}
        domains = {
            role: FolderDomain(str(roots[role]), **one) if isinstance(one, dict) else one for role, one in given.items()
        }
        data = CrossDomainDataModule(
            **{
                **domains,
                "classes": ["road", "sky", "car"],
                "crop": (8, 8),
                "scale": (1.0, 1.0),
                "batch_size": 2,
                "workers": 0,
                **settings,
            }
        )
        chosen = CheckOptions(**{"workers": 0, **(options or {})})
        return inspect_data(data, strategy or EntropyMinimization(), chosen, Console(quiet=True))

    return run

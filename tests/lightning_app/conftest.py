"""What tests of the command line need."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config of three tiny steps, in a working directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    streets = {"class_path": "SyntheticStreets", "init_args": {"size": [32, 48], "train": 6, "val": 2, "test": 2}}
    content: dict[str, Any] = {
        "seed_everything": 7,
        "trainer": {
            "accelerator": "cpu",
            "devices": 1,
            "max_steps": 3,
            "num_sanity_val_steps": 0,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "log_every_n_steps": 1,
        },
        "model": {
            "architecture": "FPN",
            "encoder": "resnet18",
            "options": {"encoder_depth": 3, "decoder_pyramid_channels": 32, "decoder_segmentation_channels": 32},
            "strategy": {"class_path": "SourceOnly"},
        },
        "data": {
            "class_path": "CrossDomainDataModule",
            "init_args": {
                "source": streets,
                "target": {**streets, "init_args": {**streets["init_args"], "look": "dusk"}},
                "crop": [32, 32],
                "scale": [1.0, 1.0],
                "batch_size": 2,
                "workers": 0,
            },
        },
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path

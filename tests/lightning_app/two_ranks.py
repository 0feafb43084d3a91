"""What each of two ranks runs for test_two_ranks.py: started by torchrun, writes what it saw to a file."""

import sys
from pathlib import Path
from typing import Any

import tiny
import torch
from kept_display import KeptDisplay
from lightning.pytorch import Trainer

from datamodules import CrossDomainDataModule, SyntheticStreets
from datamodules.batch import Batch
from lightning_app.callbacks.validation_panel import ValidationPanel
from lightning_app.segmenter import Segmenter
from strategies import Losses, Step, Strategy

STEPS = 3
SCORED = "encoder_depth: 4"
NETWORKS: dict[str, dict[str, Any]] = {
    # Networks with parameters that no term reaches.
    "efficientnet-b0": {"architecture": "Unet", "encoder": "efficientnet-b0", "options": {}},
    "PSPNet": {"architecture": "PSPNet", "encoder": "resnet18", "options": {}},
    SCORED: {
        "architecture": "Unet",
        "encoder": "resnet18",
        "options": {"encoder_depth": 4, "decoder_channels": [16, 16, 8, 8]},
    },
}
CASES = [*NETWORKS, *sorted(tiny.STRATEGIES)]
"""The networks under one strategy, and all strategies on one network."""
TARGET = SyntheticStreets(look="dusk", size=(32, 48), train=9, val=3, test=3)


def make_data(name: str) -> CrossDomainDataModule:
    return tiny.make_data(
        source=SyntheticStreets(look="day", size=(32, 48), train=7, val=5, test=3),
        target=TARGET,
        **(tiny.data_settings(name) if name in tiny.STRATEGIES else {}),
        # What is thawed by epochs is thawed after two steps, what goes by steps after one.
        steps_per_epoch=2,
        workers=0,
    )


def make_segmenter(name: str) -> Segmenter:
    strategy: Strategy = tiny.make_strategy(name if name in tiny.STRATEGIES else "entropy_minimization")
    return tiny.make_segmenter(strategy, **NETWORKS.get(name, tiny.NETWORK))


def note_buffers(segmenter: Segmenter) -> list[dict[str, torch.Tensor]]:
    """Notes the statistics right before each forward, where DDP has just sent rank 0's around."""
    noted: list[dict[str, torch.Tensor]] = []
    strategy = segmenter.strategy
    assert strategy is not None
    losses = strategy.losses

    def after_noting(network: Any, batch: Batch, step: Step) -> Losses:
        noted.append({name: value.clone() for name, value in segmenter.named_buffers()})
        return losses(network, batch, step)

    strategy.losses = after_noting
    return noted


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name in CASES:
        segmenter, recorder = make_segmenter(name), tiny.Recorder()
        buffers = note_buffers(segmenter)
        settings = {**tiny.TRAINER, "limit_val_batches": 1.0 if name == SCORED else 0, "default_root_dir": folder}
        display = KeptDisplay()
        callbacks = [recorder, ValidationPanel(display)]
        trainer = Trainer(devices=2, strategy="ddp", max_steps=STEPS, callbacks=callbacks, **settings)
        trainer.fit(segmenter, make_data(name))
        state = trainer.optimizers[0].state
        found[name] = {
            "parameters": {key: value.detach().clone() for key, value in segmenter.named_parameters()},
            "before": recorder.before,
            "refreshed": recorder.refreshed,
            "batches": recorder.batches,
            "gradients": recorder.gradients,
            "held": recorder.held,
            "buffers": buffers,
            "end": {key: value.clone() for key, value in segmenter.named_buffers()},
            "updates": {key: int(state[p]["step"]) for key, p in segmenter.named_parameters() if p in state},
        }
        if name == SCORED:
            segmenter.augmentation_consistency = True
            trainer.validate(segmenter, make_data(name), verbose=False)
            found["unsupervised"] = segmenter.unsupervised
            found["scores"] = {domain: vars(scores) for domain, scores in segmenter.scores.items()}
            found["images"] = segmenter.image_scores
            found["state"] = segmenter.state_dict()
            found["panels"] = display.panels
        rank = trainer.global_rank
    torch.save(found, folder / f"rank{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

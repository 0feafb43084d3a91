"""What each of two ranks runs for test_two_ranks.py: started by torchrun, writes what it saw to a file."""

import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import nn
from torch.optim import SGD, Optimizer

from datamodules import CrossDomainDataModule, SyntheticStreets
from datamodules.batch import Batch
from lightning_app.segmenter import Segmenter
from strategies import Losses, Network, Step, Strategy

NETWORKS: dict[str, dict[str, Any]] = {
    # Dropout in the decoder, so that the ranks' chance matters.
    "FPN": {"architecture": "FPN", "encoder": "resnet18", "options": {"encoder_depth": 4}},
    # Networks with parameters that no term reaches.
    "unused in efficientnet": {"architecture": "Unet", "encoder": "efficientnet-b0"},
    "unused in PSPNet": {"architecture": "PSPNet", "encoder": "resnet18"},
    "unused below depth 4": {
        "architecture": "Unet",
        "encoder": "resnet18",
        "options": {"encoder_depth": 4, "decoder_channels": [16, 16, 8, 8]},
    },
}


class TwoTerms(Strategy):
    """A term that reaches a part of its own, and one that does not."""

    required_streams = ("source", "target")

    def build(self, network: Network, classes: Any) -> None:
        self.scale = nn.Parameter(torch.ones(1))

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        yield {"target": (self.scale * network(batch["target"]["image"]).softmax(1)[:, 0]).mean()}
        yield {"source": network(batch["source"]["image"]).square().mean()}


def data(**settings: Any) -> CrossDomainDataModule:
    return CrossDomainDataModule(
        source=SyntheticStreets(look="day", size=(32, 48), train=7, val=5, test=3),
        target=SyntheticStreets(look="dusk", size=(32, 48), train=9, val=3, test=3),
        crop=(32, 32),
        scale=(1.0, 1.0),
        batch_size=2,
        workers=0,
        **settings,
    )


def segmenter(name: str) -> Segmenter:
    seed_everything(0)
    return Segmenter(
        list(SyntheticStreets.classes), strategy=TwoTerms(), optimizer=lambda g: SGD(g, lr=0.01), **NETWORKS[name]
    )


class Recorder(Callback):
    """Keeps what went into each step and the gradients that came out."""

    def __init__(self) -> None:
        self.before: list[dict[str, Any]] = []
        self.batches: list[Batch] = []
        self.gradients: list[dict[str, torch.Tensor]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.before.append({name: value.clone() for name, value in pl_module.state_dict().items()})
        self.batches.append(batch)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        self.gradients.append({name: p.grad.clone() for name, p in pl_module.named_parameters() if p.grad is not None})


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name in NETWORKS:
        module, recorder = segmenter(name), Recorder()
        trainer = Trainer(
            accelerator="cpu",
            devices=2,
            strategy="ddp",
            max_steps=3,
            accumulate_grad_batches=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=1.0 if name == "FPN" else 0,
            callbacks=[recorder],
        )
        trainer.fit(module, data())
        found[name] = {
            "parameters": {key: value.detach().clone() for key, value in module.named_parameters()},
            "before": recorder.before,
            "batches": recorder.batches,
            "gradients": recorder.gradients,
        }
        if name == "FPN":
            trainer.validate(module, data(), verbose=False)
            found["scores"] = {domain: vars(scores) for domain, scores in module.scores.items()}
            found["state"] = module.state_dict()
        rank = trainer.global_rank
    torch.save(found, folder / f"rank{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

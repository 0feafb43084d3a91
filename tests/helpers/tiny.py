"""What several tests, and the processes that they start, share: tiny networks, domains, strategies; recorded steps."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from datamodules import CrossDomainDataModule, SyntheticStreets
from datamodules.batch import Batch, DomainBatch, RareClassSampling
from datamodules.domain import IdArray, ImageArray
from lightning_app.segmenter import Segmenter
from strategies import Network, Step, Strategy

NETWORK: dict[str, Any] = {
    "architecture": "FPN",  # its decoder has dropout, so that chance matters
    "encoder": "tu-test_resnet",
    "options": {"encoder_depth": 3, "decoder_pyramid_channels": 32, "decoder_segmentation_channels": 32},
}
TRAINER: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}
CONF = Path(__file__).parents[1] / "conf"
STRATEGIES: dict[str, dict[str, Any]] = {path.stem: yaml.safe_load(path.read_text()) for path in CONF.glob("*.yaml")}
"""A tiny config or more for every strategy: the ``strategy``, and what it sets of the data, such as ``labels``."""


def make_strategy(name: str) -> Strategy:
    """Makes the strategy of a tiny config, as the command line would."""
    parser = ArgumentParser()
    parser.add_argument("--strategy", type=Strategy)
    made: Strategy = parser.instantiate_classes(
        parser.parse_object({"strategy": STRATEGIES[name]["strategy"]})
    ).strategy
    return made


def data_settings(name: str) -> dict[str, Any]:
    """What a tiny config sets of the data."""
    settings = {key: value for key, value in STRATEGIES[name].items() if key != "strategy"}
    if "rare_class_sampling" in settings:
        settings["rare_class_sampling"] = RareClassSampling(**settings["rare_class_sampling"])
    return settings


class KeptStreets(SyntheticStreets):
    """Streets that are drawn once for all tests of a process: drawing takes longer than training on them."""

    _kept: ClassVar[dict[object, Any]] = {}

    def read_image(self, name: str) -> ImageArray:
        return self._keep("image", name, super().read_image)

    def read_mask(self, name: str) -> IdArray:
        return self._keep("mask", name, super().read_mask)

    def _keep(self, kind: str, name: str, draw: Callable[[str], Any]) -> Any:
        key = (kind, name, self.look, self.size, self.seed, tuple(self.counts.values()), self.foreground)
        if key not in self._kept:
            self._kept[key] = draw(name)
        return self._kept[key].copy()


def make_data(**settings: Any) -> CrossDomainDataModule:
    """A pair of domains of 32 × 48 pixels: 10 training, 3 validation and 3 test images each, unless told otherwise."""
    counts: dict[str, int] = {"train": 10, "val": 3, "test": 3}
    return CrossDomainDataModule(
        **{
            "source": KeptStreets(look="day", size=(32, 48), **counts),
            "target": KeptStreets(look="dusk", size=(32, 48), **counts),
            "crop": (32, 32),
            "scale": (1.0, 1.0),
            "batch_size": 2,
            **settings,
        }
    )


def make_segmenter(strategy: Strategy | None, **settings: Any) -> Segmenter:
    """A segmenter with a tiny network; the same settings give the same weights."""
    torch.manual_seed(0)
    classes = list(SyntheticStreets.classes)
    return Segmenter(**{"classes": classes, "strategy": strategy, **NETWORK, **settings})


class Recorder(Callback):
    """Keeps what went into each training step and the gradients that the optimizer saw.

    Attributes:
        before: the state before each batch.
        refreshed: the state before each batch's terms: another one where the strategy refreshed first.
        batches: the batches.
        gradients: at each optimizer step, by name; parameters without one are left out.
        held: at each optimizer step, names of the parameters that were held back.
    """

    def __init__(self) -> None:
        self.before: list[dict[str, Tensor]] = []
        self.refreshed: list[dict[str, Tensor]] = []
        self.batches: list[Batch] = []
        self.gradients: list[dict[str, Tensor]] = []
        self.held: list[set[str]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Segmenter) and pl_module.strategy is not None
        refresh = pl_module.strategy.refresh

        def before_noting(network: Network, target_batches: Iterable[DomainBatch], step: Step) -> None:
            refresh(network, target_batches, step)
            if step.index < step.total:
                self.refreshed[-1] = _state(pl_module)

        pl_module.strategy.refresh = before_noting  # type: ignore[method-assign]  # it still is the strategy's own

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.before.append(_state(pl_module))
        self.refreshed.append(self.before[-1])
        self.batches.append(batch)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        assert isinstance(pl_module, Segmenter)
        self.gradients.append({name: p.grad.clone() for name, p in pl_module.named_parameters() if p.grad is not None})
        held = {id(parameter) for parameter in pl_module.held}
        self.held.append({name for name, p in pl_module.named_parameters() if id(p) in held})


def _state(module: LightningModule) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def replayed_gradients(
    segmenter: Segmenter,
    before: dict[str, Tensor],
    batches: Sequence[tuple[int, int, Batch]],
    step: Step,
    held: set[str],
) -> dict[str, Tensor]:
    """The mean over batches of the gradient of the summed loss, by one plain backward each.

    Args:
        segmenter: a segmenter with the same strategy and network.
        before: the state before the step, refreshed.
        batches: (rank, index of the batch, batch): chance follows from both.
        step: the optimizer step.
        held: names of the parameters that are held back in it.
    """
    segmenter.load_state_dict(before)
    segmenter.zero_grad()
    parameters = dict(segmenter.named_parameters())
    assert segmenter.strategy is not None
    for name in held:
        parameters[name].requires_grad = False
    for rank, index, batch in batches:
        super(Segmenter, segmenter).train()
        segmenter.strategy.train_mode(segmenter.network, step)
        state = np.random.SeedSequence([segmenter.seed, rank, index]).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(state >> np.uint64(1)))
        terms = segmenter.strategy.losses(segmenter.network, batch, step)
        total = torch.stack([value for named in terms for value in named.values()]).sum() / len(batches)
        total.backward()
    for name in held:
        parameters[name].requires_grad = True
    return {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}


def assert_gradients_close(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Both have the same parameters; a gradient that is missing in one is zero in the other."""
    assert wanted
    for name in found.keys() | wanted.keys():
        present = found.get(name, wanted.get(name))
        assert present is not None
        zero = torch.zeros_like(present)
        torch.testing.assert_close(found.get(name, zero), wanted.get(name, zero), rtol=1e-4, atol=1e-6)

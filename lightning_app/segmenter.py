"""The LightningModule: one network, one strategy, and the training step that joins them."""

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from datamodules.batch import Batch, DomainBatch
from lightning_app.anchor import anchor
from lightning_app.inference import Windows
from lightning_app.inference_module import InferenceModule
from lightning_app.network_spec import NetworkSpec
from lightning_app.optimization import (
    PolynomialDecay,
    check_groups,
    check_terms,
    held_back,
    make_optimizer,
    scale_encoder,
    without_gradients,
)
from lightning_app.resuming import check_resumable, description, inference_state, plain_values
from lightning_app.step_flags import StepFlags
from lightning_app.target_batches import TargetBatches, passes_over_target, warn_of_no_last_pass
from lightning_app.weight_files import CHECKPOINT_FORMAT, labels_of, read_checkpoint
from lightning_app.weights import init_from as copy_network
from lightning_app.weights import load_encoder_weights, load_network
from strategies.base import Network, ParameterGroup, Step, Strategy


class Segmenter(InferenceModule):
    """A segmentation network and the strategy by which it learns.

    Args:
        classes: class names; the class id is the position. On the command line they come from the data.
        strategy: how the network learns; None can validate, test and predict, but not train.
        architecture: a class of segmentation_models_pytorch, such as ``Unet``, ``DeepLabV3Plus`` or ``Segformer``.
        encoder: one of its encoders, such as ``resnet18``, or a model of timm as ``tu-<name>``.
        encoder_weights: what the encoder starts from: ``imagenet`` (from the hub),
            ``torchvision:ResNet18_Weights.IMAGENET1K_V1``, ``package:<installed package>``, a ``.pth`` or
            ``.safetensors`` file, a checkpoint of Segue, or None for chance.
        in_channels: number of image channels; on the command line it comes from the data.
        init_from: a checkpoint of Segue or a file of weights, from which the whole network is copied.
        optimizer: makes the optimizer from the strategy's parameter groups.
        schedule: the learning rate's course over the run.
        encoder_lr_scale: factor of the encoder's learning rate, > 0, under any strategy. Papers multiply the rate of
            all but the encoder by ten instead: that is ten times their learning rate, and 0.1.
        windows: how large images are cut for validation, prediction and passes over the target; None takes each whole.
        options: further arguments of the architecture, such as ``decoder_channels``.
        seed: seed of the random numbers drawn in training steps.
        averaged_with: checkpoints whose probabilities are averaged with the network's own, in evaluation alone.
        augmentation_consistency: whether validation and test also predict the target's images flipped, which takes the
            target twice the time, for the score ``augmentation_consistency``.

    Raises:
        ValueError: if the architecture, the encoder or the weights do not exist or do not fit, or
            ``encoder_lr_scale`` is not positive.
    """

    def __init__(
        self,
        classes: list[str],
        strategy: Strategy | None = None,
        architecture: str = "Unet",
        encoder: str = "resnet18",
        encoder_weights: str | None = None,
        in_channels: int = 3,
        init_from: str | None = None,
        optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer] = lambda params: AdamW(
            params, lr=5e-4, weight_decay=0.01
        ),
        schedule: PolynomialDecay = PolynomialDecay(),  # noqa: B008 - frozen, and jsonargparse shows it in the help
        encoder_lr_scale: float = 1.0,
        windows: Windows | None = None,
        options: dict[str, Any] | None = None,
        seed: int = 0,
        averaged_with: list[str] | None = None,
        augmentation_consistency: bool = False,
    ) -> None:
        if encoder_lr_scale <= 0:
            raise ValueError(
                f"model.encoder_lr_scale is {encoder_lr_scale}; give a positive number. To train without the encoder "
                "take the strategy PartialFreezing."
            )
        spec = NetworkSpec(architecture, encoder, list(classes), in_channels, options or {})
        super().__init__(spec, windows, averaged_with, augmentation_consistency)
        with warnings.catch_warnings():
            # Lightning would have the strategy ignored, and then could not load what the command line made.
            warnings.filterwarnings("ignore", message="Attribute '(strategy|optimizer)'")
            self.save_hyperparameters()
        self.weights_report: list[str] = []
        if encoder_weights:
            self.weights_report += load_encoder_weights(self.network, encoder_weights)
        if strategy is not None and strategy.wants_pretrained:
            strategy.keep_pretrained(self.network)
        if init_from:
            self.weights_report += copy_network(self.network, init_from)
        self.strategy = strategy
        if strategy is not None:
            strategy.build(self.network, classes)
        self.optimizer = optimizer
        self.schedule = schedule
        self.encoder_lr_scale = encoder_lr_scale
        self.seed = seed
        self.weights_report += [f"averaged with the network of {path}" for path in averaged_with or []]
        self.labels_of_others = max(map(labels_of, averaged_with or []), default=0)
        self.labels_inherited = 0 if init_from is None else labels_of(init_from)
        self.labels_given = 0
        self.labels_used = max(self.labels_inherited, self.labels_of_others)
        """Target labels that went into the weights, here or in the run that they come from, whichever is more."""
        self.consumed_batches = 0
        """Training batches that this rank has used since the run began, over interruptions."""
        self.loaded_step = 0
        """Optimizer steps of the run that the network was loaded from."""
        self.stop_wanted = False
        """Set by a signal: this rank asks all ranks to stop."""
        self.stop_agreed = False
        self.accumulating = False
        """Whether gradients wait for the optimizer's step."""
        self.draw = False
        """Set by who shows what the strategy shows: whether it does in the next training step."""
        self.flags = StepFlags()
        self.groups: list[ParameterGroup] = []
        """What the optimizer was made of."""
        self.held: list[nn.Parameter] = []
        """What is held back in the present step."""
        self.total_steps = 0
        """Optimizer steps of the whole run; known once the optimizer is made."""

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Loads the inference network of a checkpoint, on the CPU and ready to predict.

        Neither a file of weights nor a network connection is needed, and no code of the file runs.

        Args:
            path: a checkpoint written by Segue.

        Returns:
            A segmenter without a strategy, in eval mode.
        """
        network = load_network(path)
        described = read_checkpoint(path).meta
        windows = described["windows"]
        segmenter = cls(**asdict(network.spec), windows=None if windows is None else Windows(**windows))
        segmenter.network = network
        segmenter.labels_used = described["labels_used"]
        return segmenter.eval()

    # ------------------------------------------------------------------------------------------------ training

    def setup(self, stage: str) -> None:
        """Says what the weights came from, and refuses to train without a strategy.

        Raises:
            ValueError: if a fit has no strategy, or an average of networks.
        """
        for line in self.weights_report:
            rank_zero_info(line)
        self.weights_report = []
        if stage == "fit" and self.others:
            raise ValueError("model.averaged_with is for evaluation: leave it out of a fit, which trains one network.")
        if stage == "fit" and self.strategy is None:
            raise ValueError(
                "There is no strategy to train by. Set model.strategy, for example --model.strategy SourceOnly."
            )
        if stage == "fit":
            self.labels_given = getattr(getattr(self.trainer, "datamodule", None), "labels_used", 0)
            self.labels_used = max(self.labels_given, self.labels_inherited)
            rank_zero_info(
                f"{self._strategy.name} trains {self.spec.architecture} / {self.spec.encoder} "
                f"with {self.labels_used} target labels."
            )
            if self._strategy.wants_pretrained and not (self.hparams["encoder_weights"] or self.trainer.ckpt_path):
                rank_zero_warn(
                    f"{self._strategy.name} holds the encoder to its pretrained weights, but they are those of chance: "
                    "set model.encoder_weights."
                )

    def on_train_start(self) -> None:
        """Enters training mode: Lightning leaves a module as it finds it."""
        self.train()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Back-propagates the strategy's terms one by one and hands Lightning the anchored total.

        Each term's graph is freed before the next one is made. The gradients lie in ``.grad`` when this returns;
        the backward that Lightning runs afterwards only makes DDP reduce them.
        """
        self._read_flags()
        strategy = self._strategy
        accumulate = self.trainer.accumulate_grad_batches
        if batch_idx % accumulate == 0:
            self._refresh(self.step_at(self.global_step))
            # Lightning zeroes after this method, which would lose what it accumulates: see optimizer_zero_grad.
            self._optimizer.zero_grad()
        # No random state is saved: what a step draws follows from its place, on every rank another.
        sequence = np.random.SeedSequence([self.seed, self.global_rank, self.consumed_batches])
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        self.step = self.step_at(self.global_step)
        self.step.draw = self.draw
        self.held = held_back(self.groups, self.step)
        strategy.train_mode(self._network, self.step)
        terms: dict[str, Tensor] = {}
        with without_gradients(self.held):
            for named in strategy.losses(self._network, batch, self.step):
                check_terms(named, terms, strategy.name)
                summed = torch.stack(list(named.values())).sum()
                # A term about layers that are held back or frozen has no graph.
                if summed.requires_grad:
                    self._backward(summed / accumulate)
                    self.accumulating = True
                terms.update({name: value.detach() for name, value in named.items()})
                del named, summed
        if not terms:
            raise ValueError(f"{strategy.name}.losses yielded no term; yield at least one per step.")
        if not self.accumulating:
            raise ValueError(
                f"{strategy.name}: no term of step {self.step.index} depends on anything that trains in it; the terms "
                f"are {', '.join(terms)}. Let a part train that they depend on."
            )
        total = torch.stack(list(terms.values())).sum()
        files = [name for stream in cast("dict[str, DomainBatch]", batch).values() for name in stream["name"]]
        self.flags.post(self.step.index, terms, files, self.stop_wanted)
        self._log_step(terms, total)
        self.consumed_batches += 1
        return anchor(total, [parameter for group in self.groups for parameter in group["params"]])

    def _refresh(self, step: Step) -> None:
        """Lets the strategy pass over the target, if its turn has come."""
        if not passes_over_target(self._strategy, step):
            return
        batches = TargetBatches.of_run(self, self.windows, self._strategy.name)
        self.eval()
        # The last one comes behind the training step, and so outside of its precision.
        with torch.no_grad(), self.trainer.precision_plugin.train_step_context():
            self._strategy.refresh(self._network, batches, step)
        self.train()

    def step_at(self, index: int) -> Step:
        """Returns the step of a zero-based index: a function of the index alone, so that a resume finds the same."""
        # Infinitely many until the loaders are made: then only step 0 is asked for.
        batches = math.inf if self._trainer is None else self.trainer.num_training_batches
        epoch = 0 if batches == math.inf else index // math.ceil(batches / self.trainer.accumulate_grad_batches)
        return Step(index, self.total_steps, epoch)

    def _backward(self, loss: Tensor) -> None:
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None:
            loss = scaler.scale(loss)
        # The training step runs under autocast, a backward should not.
        with torch.autocast(self.device.type, enabled=False):
            torch.autograd.backward(loss)

    def _log_step(self, terms: dict[str, Tensor], total: Tensor) -> None:
        # Lightning writes the log in the same steps; building these dicts in others would be for nothing.
        every = getattr(self.trainer, "log_every_n_steps", 1) or math.inf  # 0 is never
        if (self.global_step + 1) % every == 0:
            sizes = {f"train/loss/{name}": value for name, value in terms.items()}
            rates = {f"train/lr/{group['name']}": float(group["lr"]) for group in self._optimizer.param_groups}
            told = {f"train/{name}": value for name, value in self.step.logged.items()}
            self.log_dict({**sizes, "train/loss/total": total, **rates, **told}, batch_size=1)
            data = getattr(self.trainer, "datamodule", None)
            if data is not None and getattr(data, "on_bad_file", "raise") == "skip":
                # On every rank, whether it skipped anything or not: the ranks' counts are added up.
                self.log("data/skipped", float(data.skipped.draws), sync_dist=True, reduce_fx="sum", batch_size=1)
        self.log("loss", total, prog_bar=True, logger=False, batch_size=1)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Does nothing: ``training_step`` zeroes before the first term, Lightning would after the last."""

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Has the optimizer pass over what is held back.

        DDP leaves zeros where no rank had a gradient. Adam would count them as steps, and the first real ones of a
        thawed layer, corrected for that many, would be several times too long.
        """
        for parameter in self.held:
            parameter.grad = None

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | Any,  # noqa: ANN401 - Lightning's own wrapper
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Steps, then tells the strategy, so that a checkpoint written right after sees its teacher updated."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.accumulating = False
        self._strategy.after_step(self._network, self.step)
        if self.step.index + 1 == self.total_steps:
            # Here, so that the last validation and the last checkpoint see it.
            self._refresh(self.step_at(self.total_steps))

    def train(self, mode: bool = True) -> Self:
        """Enters training or eval mode; a strategy keeps frozen normalisation layers in eval."""
        super().train(mode)
        if mode and self.strategy is not None:
            index = self.global_step if self._trainer is not None else 0
            self.strategy.train_mode(self._network, self.step_at(index))
        return self

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Makes one optimizer of the strategy's groups, and its schedule by the step."""
        groups = self._strategy.parameter_groups(self._network)
        check_groups(groups, self.network, self._strategy)
        self.groups = scale_encoder(groups, self._network, self.encoder_lr_scale)
        total = self.trainer.estimated_stepping_batches
        if total == float("inf"):
            raise ValueError("The run has no end, so the learning rate has no course: set trainer.max_steps.")
        self.total_steps = int(total)
        self._optimizer, scheduler = make_optimizer(
            self.groups, self.optimizer, self.schedule, self.total_steps, self.step_at
        )
        return OptimizerLRSchedulerConfig(
            optimizer=self._optimizer, lr_scheduler={"scheduler": scheduler, "interval": "step"}
        )

    @property
    def _strategy(self) -> Strategy:
        assert self.strategy is not None, "setup refuses to train without one"
        return self.strategy

    @property
    def _network(self) -> Network:
        return cast(Network, self.network)

    def on_validation_start(self) -> None:
        """Reads the last step's flags: NaN is the step's fault and not the validation's."""
        self._read_flags()

    def on_train_end(self) -> None:
        """Reads the last step's flags: a run that ends in NaN does not end well; nor does one before its end."""
        self._read_flags()
        self.warn_of_no_last_refresh()

    def warn_of_no_last_refresh(self) -> None:
        """Says that the strategy's last pass over the target is missing, if the run stops before it."""
        warn_of_no_last_pass(self._strategy, self.global_step, self.total_steps)

    def _read_flags(self) -> None:
        self.stop_agreed = self.flags.read() or self.stop_agreed

    # ------------------------------------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Describes the inference network in plain values, and refuses to save a step that went wrong."""
        self._read_flags()
        if self.accumulating:
            rank_zero_warn(
                "This checkpoint falls within an accumulation, whose first gradients it does not hold: a resume from "
                "it is not bitwise. Make trainer.val_check_interval a multiple of accumulate_grad_batches."
            )
        plain = plain_values(checkpoint.get("hyper_parameters", {}))
        checkpoint["hyper_parameters"] = {**plain, "classes": self.classes}
        checkpoint["segue"] = {
            "format": CHECKPOINT_FORMAT,
            "network": asdict(self.spec),
            "inference_network": self.inference_prefix(),
            "source_apart": self.inference_network("source") is not self.inference_network("target"),
            "strategy": None if self.strategy is None else self.strategy.name,
            "labels_given": self.labels_given,
            "labels_used": self.labels_used,
            "consumed_batches": self.consumed_batches,
            "windows": None if self.windows is None else asdict(self.windows),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Resumes a fit as it was; for anything else takes the inference network, whatever strategy trained it.

        Raises:
            ValueError: if Segue did not write the checkpoint, or a fit cannot go on from it.
        """
        described = description(checkpoint)
        if self._trainer is None or self._trainer.state.fn == TrainerFn.FITTING:
            given = None if self._trainer is None else self.labels_given
            check_resumable(described, self.strategy, self.spec, given)
            self.labels_used = described["labels_used"]
            self.consumed_batches = described["consumed_batches"]
            self.network_infers = False
            return
        self.labels_used = max(described["labels_used"], self.labels_of_others)
        self.loaded_step = checkpoint.get("global_step", 0)
        others = {k: v for k, v in self.state_dict().items() if not k.startswith("network.")}
        checkpoint["state_dict"] = {**others, **inference_state(checkpoint)}
        self.network_infers = True

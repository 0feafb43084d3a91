"""``lightning gap``: how far apart source and target are, before a method is chosen."""

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser
from rich.console import Console

from datamodules import CrossDomainDataModule
from lightning_app.command_line import RUNS, CommandLine, named_run, run
from lightning_app.gap.advice import advice
from lightning_app.gap.gap_trainer import GapTrainer
from lightning_app.gap.html_report import write_json, write_report
from lightning_app.gap.options import GapOptions
from lightning_app.gap.survey import Survey
from lightning_app.gap.terminal import print_gap
from lightning_app.network import SegmentationNetwork
from lightning_app.segmenter import Segmenter
from lightning_app.weight_files import read_checkpoint
from lightning_app.weights import load_network


class GapCommandLine(CommandLine):
    """The command line of ``fit`` with ``--gap.…``, for a command that measures the domains in place of training."""

    def __init__(
        self,
        model_class: type[Segmenter],
        datamodule_class: type[LightningDataModule],
        args: Sequence[str],
        **settings: Any,  # noqa: ANN401 - as of LightningCLI
    ) -> None:
        self.typed = f"lightning {shlex.join(args)}"
        settings["trainer_class"] = GapTrainer
        super().__init__(model_class, datamodule_class, args=list(args), **settings)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Returns the one command."""
        return {"gap": set()}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of the measurement to those of ``fit``."""
        super().add_arguments_to_parser(parser)
        parser.add_class_arguments(GapOptions, "gap", as_group=False)

    def before_instantiate_classes(self) -> None:
        """Takes what belongs to a training out, and the network from a checkpoint when there is one."""
        settings = self.settings
        self.options = GapOptions(**settings.gap)
        settings.model.seed = settings.data.init_args.seed = int(settings.seed_everything)
        settings.model.strategy = settings.model.averaged_with = None
        self.checkpoint = self._checkpoint_path()
        if self.checkpoint is not None:
            settings.model.encoder_weights = settings.model.init_from = None
            self._take_network(read_checkpoint(self.checkpoint))

    def after_instantiate_classes(self) -> None:
        """Leaves the classes to be compared network by network."""

    def instantiate_trainer(self, **settings: Any) -> GapTrainer:  # noqa: ANN401 - as Lightning's
        """Makes a trainer that says on which device is measured.

        Raises:
            ValueError: if this machine has not what the config trains on.
        """
        try:
            return GapTrainer(
                accelerator=self.config_init[self.subcommand].trainer.accelerator,
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
        except MisconfigurationException as error:
            raise ValueError(f"{error} Measure on another device by --trainer.accelerator.") from error

    def gap(self, model: Segmenter, datamodule: LightningDataModule, **_: object) -> None:
        """Measures and reports.

        Raises:
            SystemExit: with 130 if it is stopped.
            ValueError: if the data module is none of Segue's, or a network does not fit the data.
        """
        if not isinstance(datamodule, CrossDomainDataModule):
            raise ValueError(
                f"gap compares the domains of a CrossDomainDataModule, but data is a {type(datamodule).__name__}."
            )
        console, report = Console(), self._report_path()
        written = [report, report.with_suffix(".json")]
        # Before minutes of measuring, both networks are known to fit.
        before = None if self.options.before is None else self._load(self.options.before, datamodule)
        network = model.network if self.checkpoint is None else self._load(self.checkpoint, datamodule)
        survey = Survey(datamodule, self.options, model.windows, self.trainer.strategy.root_device, console)
        _make_room(written)
        try:
            with torch.no_grad():
                result, images = survey.look(network, self._name_of_network(), self._is_trained())
                earlier = None
                if before is not None:
                    earlier, _images = survey.look(before, f"{self.options.before}", True)
        except KeyboardInterrupt:
            console.print("stopped; there is no report.")
            raise SystemExit(130) from None
        advised = advice(result, earlier)
        write_report(result, earlier, images, advised, self.typed, written[0])
        write_json(result, earlier, advised, self.typed, written[1])
        print_gap(result, earlier, advised, written, console)

    def _is_trained(self) -> bool:
        return self.checkpoint is not None or self.settings.model.init_from is not None

    def _name_of_network(self) -> str:
        model = self.settings.model
        if self._is_trained():
            return f"{self.checkpoint or model.init_from}"
        return f"{model.architecture} / {model.encoder}, encoder weights {model.encoder_weights or 'of chance'}"

    def _load(self, path: str | Path, data: CrossDomainDataModule) -> SegmentationNetwork:
        network = load_network(path)
        if network.spec.classes != list(data.classes):
            raise ValueError(
                f"{path} was trained on the classes {', '.join(network.spec.classes)}, but the data has "
                f"{', '.join(data.classes)}. Give a checkpoint of the same classes, or take the network's encoder by "
                "--model.init_from."
            )
        if network.spec.in_channels != data.channels:
            raise ValueError(
                f"{path} takes images of {network.spec.in_channels} channels, but data.channels is {data.channels}. "
                "Give a checkpoint of as many."
            )
        return network

    def _report_path(self) -> Path:
        if self.options.report is not None:
            return Path(self.options.report)
        name = self.settings.run
        return (RUNS if name is None else named_run(name)) / "gap.html"


def main(args: Sequence[str]) -> None:
    """Measures a gap.

    Args:
        args: ``gap``, and the options of ``lightning fit`` and ``--gap.…``.

    Raises:
        SystemExit: with 1 if it cannot be measured, with 2 after a mistake in the arguments.
    """
    run(args, GapCommandLine)


def _make_room(paths: Sequence[Path]) -> None:
    """Takes an older report away and tries the folder: not after everything has been read."""
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        with tempfile.TemporaryFile(dir=paths[0].parent):
            pass
    except OSError as error:
        raise OSError(
            f"The report {paths[0]} cannot be written: {error.strerror}. Name another file by --gap.report."
        ) from error

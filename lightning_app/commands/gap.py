"""``lightning gap``: how far apart source and target are, before a method is chosen."""

from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser
from rich.console import Console

from datamodules import CrossDomainDataModule
from lightning_app.command_line import run
from lightning_app.gap.advice import advice
from lightning_app.gap.gap_trainer import GapTrainer
from lightning_app.gap.html_report import write_json, write_report
from lightning_app.gap.options import GapOptions
from lightning_app.gap.survey import Survey
from lightning_app.gap.terminal import print_gap
from lightning_app.network import SegmentationNetwork
from lightning_app.report_command_line import ReportCommandLine, make_room
from lightning_app.segmenter import Segmenter
from lightning_app.weight_files import read_checkpoint
from lightning_app.weights import load_network


class GapCommandLine(ReportCommandLine):
    """The command line of ``fit`` with ``--gap.…``."""

    command_name = "gap"
    trainer_type = GapTrainer

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of the measurement to those of ``fit``."""
        super().add_arguments_to_parser(parser)
        parser.add_class_arguments(GapOptions, "gap", as_group=False)

    def before_instantiate_classes(self) -> None:
        """Takes what belongs to a training out, and the network from a checkpoint when there is one."""
        super().before_instantiate_classes()
        settings = self.settings
        self.options = GapOptions(**settings.gap)
        settings.model.strategy = settings.model.averaged_with = None
        self.checkpoint = self._checkpoint_path()
        if self.checkpoint is not None:
            settings.model.encoder_weights = settings.model.init_from = None
            self._take_network(read_checkpoint(self.checkpoint))

    def gap(self, model: Segmenter, datamodule: LightningDataModule, **_: object) -> None:
        """Measures and reports.

        Raises:
            SystemExit: with 130 if it is stopped.
            ValueError: if the data module is none of Segue's, or a network does not fit the data.
        """
        data = self.domains(datamodule)
        console, report = Console(), self.report_path(self.options.report, ".html")
        written = [report, report.with_suffix(".json")]
        # Before minutes of measuring, both networks are known to fit.
        before = None if self.options.before is None else self._load(self.options.before, data)
        network = model.network if self.checkpoint is None else self._load(self.checkpoint, data)
        survey = Survey(data, self.options, model.windows, self.trainer.strategy.root_device, console)
        make_room(written, "--gap.report")
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


def main(args: Sequence[str]) -> None:
    """Measures a gap.

    Args:
        args: ``gap``, and the options of ``lightning fit`` and ``--gap.…``.

    Raises:
        SystemExit: with 1 if it cannot be measured, with 2 after a mistake in the arguments.
    """
    run(args, GapCommandLine)

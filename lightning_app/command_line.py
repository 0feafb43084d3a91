"""``fit``, ``validate``, ``test``, ``predict``: Lightning's command line with Segue's folders, links and messages."""

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, cast

import yaml
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info
from lightning_utilities.core.rank_zero import rank_zero_only
from rich.console import Console

import datamodules.presets  # noqa: F401 - short names
from datamodules import (  # noqa: F401 - short names
    CrossDomainDataModule,
    DomainDataModule,
    FolderDomain,
    SyntheticStreets,
    TableDomain,
)
from lightning_app.callbacks.evaluation_record import EvaluationRecord
from lightning_app.callbacks.graceful_stop import GracefulStop
from lightning_app.callbacks.last_checkpoint import LastCheckpoint
from lightning_app.callbacks.monitor_check import MonitorCheck
from lightning_app.callbacks.part_table import PartTable
from lightning_app.callbacks.prediction_writer import PredictionWriter
from lightning_app.callbacks.progress_lines import ProgressLines
from lightning_app.callbacks.run_record import RunRecord
from lightning_app.callbacks.run_table import RunTable
from lightning_app.callbacks.score_table import ScoreTable
from lightning_app.callbacks.selection_record import SelectionRecord
from lightning_app.callbacks.throughput import Throughput
from lightning_app.callbacks.training_bar import TrainingBar
from lightning_app.callbacks.training_panel import TrainingPanel
from lightning_app.callbacks.transfer_guard import TransferGuard
from lightning_app.callbacks.validation_panel import ValidationPanel
from lightning_app.displays.displays import Displays
from lightning_app.mistakes import explain
from lightning_app.segmenter import Segmenter
from lightning_app.source_only_run import SourceOnlyRun, strategies_of
from lightning_app.swaps import carry_nothing_over
from lightning_app.weight_files import NetworkCheckpoint, read_checkpoint
from lightning_app.weights_and_biases import WeightsAndBiases

RUNS = Path("runs")


class Parser(LightningArgumentParser):
    """The parser, with messages that name what exists, and classes that are swapped whole.

    Attributes:
        class_path: the class whose arguments it parses; None for the program's own options.
    """

    class_path: str | None = None

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Prints the message and the nearest names, and leaves with 2."""
        arguments = list(self.get_defaults().keys(branches=True, nested=False)) if self.class_path else []
        print(f"lightning: {explain(message, self.class_path, arguments)}", file=sys.stderr)
        raise SystemExit(2)


class CommandLine(LightningCLI):
    """Lightning's command line for Segue.

    ``--run NAME`` names the run's folder, ``runs/NAME``, where configuration, splits, checkpoints, metrics and scores
    lie.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the run's folder, the checkpoint callback and the links."""
        parser.add_argument(
            "--run",
            type=str | None,
            default=None,
            help="Name of the run; its folder is runs/<name>, or the path itself if it has a slash. "
            "By default the strategy and the time, and for a checkpoint the folder of its run.",
        )
        parser.add_argument(
            "--source_only",
            type=float | str | None,
            default=None,
            help="Folder of a source-only run, or the mIoU in [0, 1] that one reached on the target: fit warns when "
            "its target falls below. By default the run of model.init_from, if that is a source-only run's checkpoint.",
        )
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults(
            {
                "checkpoint.monitor": "val/source/miou",
                "checkpoint.mode": "max",
                "checkpoint.filename": "best",
                "checkpoint.enable_version_counter": False,
                "checkpoint.auto_insert_metric_name": False,
                "data": {"class_path": "datamodules.CrossDomainDataModule"},
                # Our tables show what trains, where Lightning's shows our attributes.
                "trainer.enable_model_summary": False,
            }
        )
        parser.add_argument("--predictions.folder", type=str | None, default=None, help="Default: in the run's folder.")
        parser.add_argument("--predictions.overlays", type=bool, default=True, help="Write coloured overlays.")
        parser.add_argument(
            "--predictions.probabilities", type=bool, default=False, help="Write (classes, H, W) float16 .npy files."
        )
        parser.link_arguments("seed_everything", "model.seed", compute_fn=int)
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)
        parser.link_arguments("data.classes", "model.classes", apply_on="instantiate")
        parser.link_arguments("data.channels", "model.in_channels", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses, and keeps what was typed."""
        self.command = ["lightning", *map(str, sys.argv[1:] if args is None else args)]
        super().parse_arguments(parser, args)

    def _parse_ckpt_path(self) -> None:
        """Replaces Lightning's merge of hyper-parameters: ``before_instantiate_classes`` reads the checkpoint."""

    @property
    def settings(self) -> Namespace:
        """The configuration of the subcommand."""
        return cast(Namespace, self.config[self.subcommand])

    def before_instantiate_classes(self) -> None:
        """Finds the run's folder, and takes the network from a checkpoint when there is one."""
        settings = self.settings
        # seed_everything: true was drawn after the links were made.
        settings.model.seed = settings.data.init_args.seed = int(settings.seed_everything)
        checkpoint = self._checkpoint_path()
        # Before folders and weights are filled in: what is recorded can be run again, under another name too.
        self.recorded = self._parser(self.subcommand).dump(settings, skip_none=False)
        self.folder = self._run_folder(checkpoint)
        settings.trainer.default_root_dir = str(self.folder)
        settings.checkpoint.dirpath = settings.checkpoint.dirpath or str(self.folder / "checkpoints")
        if self.subcommand == "fit" and _is_first_rank() and not settings.trainer.fast_dev_run:
            _check_writable(self.folder)
        self._place_loggers()
        settings.trainer.enable_autolog_hparams = False  # RunRecord sends the whole config, the model's part in it
        if "verbose" in settings:
            settings.verbose = False  # Lightning's table of the scores: ScoreTable has the names and the percent signs.
        if checkpoint is None:
            if self.subcommand != "fit":
                self._parser(self.subcommand).error(
                    f"{self.subcommand} needs a network: give --ckpt_path runs/<name>/checkpoints/best.ckpt"
                )
            return
        settings.ckpt_path = str(checkpoint)
        settings.weights_only = True
        found = read_checkpoint(checkpoint)
        # The checkpoint is enough: no file of weights is opened and no network touched.
        settings.model.encoder_weights = settings.model.init_from = None
        if self.subcommand != "fit":
            self._take_network(found)

    def _take_network(self, found: NetworkCheckpoint) -> None:
        """Sets the model to what the checkpoint holds, under any strategy or none."""
        settings, data, spec = self.settings, self.settings.data.init_args, found.spec
        settings.model.strategy = None
        settings.model.architecture, settings.model.encoder = spec.architecture, spec.encoder
        settings.model.options = spec.options
        data.channels = spec.in_channels
        data.classes = data.get("classes") or spec.classes
        self.expected_classes = spec.classes
        windows = found.meta["windows"]
        if settings.model.windows is None and windows is not None:
            # A network that was trained on smaller images would be scored on those of full size.
            for key, value in windows.items():
                settings[f"model.windows.{key}"] = value
            told = ", ".join(f"{key} {value}" for key, value in windows.items())
            rank_zero_info(f"Windows as in the checkpoint: {told}. Others are set by model.windows.")

    def instantiate_trainer(self, **settings: Any) -> Trainer:  # noqa: ANN401 - as Lightning's
        """Makes the trainer with Segue's callbacks; a progress bar of the config takes the place of ours."""
        displays = Displays(self.folder, self.model.classes)
        own = self._own_callbacks(displays)
        given = self.config_init[self.subcommand].trainer.callbacks
        if any(isinstance(callback, ProgressBar) for callback in (given if isinstance(given, list) else [given])):
            own = [callback for callback in own if not isinstance(callback, ProgressBar)]
        self.trainer_defaults["callbacks"] = own
        trainer = super().instantiate_trainer(**settings)
        if self.subcommand != "predict":
            displays.connect(trainer.loggers)
        return trainer

    def after_instantiate_classes(self) -> None:
        """Tells W&B what it will log, and refuses to score a network on other classes than its own."""
        self._describe_to_loggers()
        expected = getattr(self, "expected_classes", None)
        if expected is not None and list(self.model.classes) != expected:
            raise ValueError(
                f"{self.settings.ckpt_path} was trained on the classes {', '.join(expected)}, but the data has "
                f"{', '.join(self.model.classes)}. Score it on its own classes, or move it to the new ones with "
                "lightning fit --model.init_from."
            )

    def _describe_to_loggers(self) -> None:
        names = [side.domain.name for side in getattr(self.datamodule, "sides", {}).values()]
        recorded = yaml.safe_load(self.recorded)
        strategies = strategies_of(recorded)
        for logger in self.trainer.loggers:
            if isinstance(logger, WeightsAndBiases):
                logger.describe(str(self.subcommand), " → ".join(names), strategies, bool(self.settings.ckpt_path))
                if self.subcommand != "fit":  # whose record sends more
                    logger.log_hyperparams(recorded)

    def _checkpoint_path(self) -> Path | None:
        given = self.settings.ckpt_path
        if given is None:
            return None
        if given in ("last", "best"):
            if self.settings.run is None:
                self._parser(self.subcommand).error(f"--ckpt_path {given} needs --run, to know of which run.")
            given = named_run(self.settings.run) / "checkpoints" / f"{given}.ckpt"
        path = Path(given)
        if not path.is_file():
            around = [str(found) for found in sorted((path.parent if path.parent.is_dir() else RUNS).rglob("*.ckpt"))]
            nearest = get_close_matches(str(path), around, n=1, cutoff=0.3)
            self._parser(self.subcommand).error(
                f"there is no checkpoint {path}." + (f" Did you mean {nearest[0]}?" if nearest else "")
            )
        return path

    def _run_folder(self, checkpoint: Path | None) -> Path:
        settings = self.settings
        of_checkpoint = checkpoint.parent.parent if checkpoint and checkpoint.parent.name == "checkpoints" else None
        if settings.run is None:
            if of_checkpoint is not None:
                return of_checkpoint
            if checkpoint is not None:  # not the time: ranks that start one by one must agree
                return RUNS / checkpoint.stem
            strategy = settings.model.strategy.class_path.rsplit(".", 1)[-1] if settings.model.strategy else "none"
            return RUNS / f"{strategy}-{datetime.now():%Y%m%d-%H%M%S}"
        folder = named_run(settings.run)
        if folder.resolve() in (RUNS.resolve(), Path.cwd(), *Path.cwd().parents):
            self._parser(self.subcommand).error(f"--run {settings.run!r} is no folder of its own; give it a name.")
        fresh = self.subcommand == "fit" and folder != of_checkpoint and not settings.trainer.fast_dev_run
        if fresh and _is_first_rank() and (folder / "config.yaml").exists():
            self._parser(self.subcommand).error(
                f"{folder} holds a run already. Go on with it by --ckpt_path last, or choose another --run."
            )
        return folder

    def _place_loggers(self) -> None:
        """Gives every logger the run's folder; metrics go to CSV too, whatever other logger is named."""
        trainer, folder = self.settings.trainer, str(self.folder)
        if trainer.logger is False or self.subcommand == "predict":  # which has nothing to log
            trainer.logger = False
            return
        named = [] if trainer.logger in (None, True) else trainer.logger
        loggers = list(named) if isinstance(named, list) else [named]
        for logger in loggers:
            arguments = logger.init_args
            if "save_dir" in arguments and arguments["save_dir"] in (None, "."):
                arguments["save_dir"] = folder
            if str(logger.class_path).endswith(("WandbLogger", "WeightsAndBiases")) and not arguments["name"]:
                arguments["name"] = self.folder.name
        if not any(
            str(logger.class_path).endswith("CSVLogger")
            and (logger.init_args["save_dir"], logger.init_args["name"]) == (folder, "metrics")
            for logger in loggers
        ):
            # `lightning compare` reads it. Numbered versions below the run: a resumed run must not overwrite the first
            # part's metrics.
            csv = "lightning.pytorch.loggers.CSVLogger"
            loggers.append(_namespace(csv, save_dir=folder, name="metrics", flush_logs_every_n_steps=50))
        trainer.logger = loggers

    def _own_callbacks(self, displays: Displays) -> list[Callback]:
        settings = self.settings
        throughput = Throughput()
        callbacks: list[Callback] = [ScoreTable(str(self.folder))]
        if self.subcommand != "predict":
            callbacks += [EvaluationRecord(self.folder, displays), ValidationPanel(displays)]
        if self.subcommand == "fit":
            callbacks += [SelectionRecord(self.folder), TrainingPanel(displays)]
            last = LastCheckpoint(settings.checkpoint.dirpath)
            record = RunRecord(self.folder, self.recorded, self.command, throughput)
            callbacks += [MonitorCheck(), throughput, record, RunTable(record), PartTable(), last, GracefulStop(last)]
            callbacks += self._transfer_guard()
        if self.subcommand == "predict":
            wanted = settings.predictions
            folder = wanted.folder or str(self.folder / "predictions")
            callbacks.append(PredictionWriter(folder, wanted.overlays, wanted.probabilities))
        if settings.trainer.enable_progress_bar is not False:
            # Rich takes FORCE_COLOR for a terminal, which servers of tests set: a file would be full of bars.
            terminal = sys.stdout.isatty() and Console().is_interactive
            callbacks.append(TrainingBar(throughput) if terminal else ProgressLines(throughput))
        return callbacks

    def _transfer_guard(self) -> list[Callback]:
        """Returns the guard where there is a source-only run to compare with."""
        settings = self.settings
        given, target = settings.source_only, yaml.safe_load(self.recorded)["data"]["init_args"].get("target")
        if isinstance(given, float):
            if not 0 <= given <= 1:
                raise ValueError(f"--source_only {given:g} is no mIoU in [0, 1]: for 24.6 % give 0.246.")
            return [TransferGuard(SourceOnlyRun(given))]
        if given is not None:
            return [TransferGuard(SourceOnlyRun.read(named_run(given)), target)]
        checkpoint = Path(settings.model.init_from or "")
        config = checkpoint.parent.parent / "config.yaml"
        if checkpoint.parent.name != "checkpoints" or not config.is_file():
            return []
        if strategies_of(yaml.safe_load(config.read_text(encoding="utf-8"))) != ["SourceOnly"]:
            return []
        try:
            return [TransferGuard(SourceOnlyRun.read(config.parent), target, asked=False)]
        except ValueError as error:
            rank_zero_info(f"No guard against negative transfer: {error}")
            return []


def run(args: Sequence[str] | None, command_line: type[CommandLine] = CommandLine) -> None:
    """Parses and runs a subcommand; mistakes of the user end in one message, not in a traceback."""
    carry_nothing_over()
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
    # A tip of Lightning's would have users install a package that overwrites our script.
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "litlogger" not in record.getMessage()
    )
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # The tuples of an albumentations transform are lists in a recorded config, which it takes as well.
    warnings.filterwarnings("ignore", message=r"\s*Dump of a value that does not round-trip: a tuple")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning 2.6 under torch 2.15
    # A score needs no callback of the training.
    warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint.*")
    try:
        command_line(
            Segmenter,
            LightningDataModule,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            parser_class=Parser,
            args=None if args is None else list(args),
        )
    except (ValueError, OSError, FloatingPointError, MisconfigurationException) as error:
        if os.environ.get("SEGUE_TRACEBACK"):
            raise
        print(f"\nlightning: {explain(str(error))}\n(SEGUE_TRACEBACK=1 shows where.)", file=sys.stderr)
        raise SystemExit(1) from error


def named_run(name: str) -> Path:
    """Returns the folder of a run."""
    return Path(name) if "/" in name else RUNS / name


def _namespace(class_path: str, **init_args: str | int) -> Namespace:
    arguments = Namespace(**init_args)  # type: ignore[no-untyped-call]  # jsonargparse's own
    return Namespace(class_path=class_path, init_args=arguments)  # type: ignore[no-untyped-call]


def _is_first_rank() -> bool:
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def _check_writable(folder: Path) -> None:
    """Makes the run's folder: a night of training must not end in an error of the disk that was there before it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"The run's folder {folder} cannot be written: {error.strerror}. Choose another with --run, such as "
            "--run /some/where/else."
        ) from error

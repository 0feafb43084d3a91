"""``lightning check``: what is wrong with a run, and what it will take, before a night is spent on it."""

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser
from rich.console import Console

from datamodules import CrossDomainDataModule
from lightning_app.check.check_trainer import CheckTrainer
from lightning_app.check.finding import Finding
from lightning_app.check.html_report import write_report
from lightning_app.check.inspection import inspect_data
from lightning_app.check.options import CheckOptions
from lightning_app.check.result import CheckResult
from lightning_app.check.terminal import print_report
from lightning_app.check.trial import make_trainer, try_steps
from lightning_app.command_line import RUNS, CommandLine, named_run, run
from lightning_app.mistakes import explain
from lightning_app.segmenter import Segmenter


class CheckCommandLine(CommandLine):
    """The command line of ``fit`` with ``--check.…``, for a command that checks the run in place of training."""

    def __init__(
        self,
        model_class: type[Segmenter],
        datamodule_class: type[LightningDataModule],
        args: Sequence[str],
        **settings: Any,  # noqa: ANN401 - as of LightningCLI
    ) -> None:
        self.typed = f"lightning {shlex.join(args)}"
        settings["trainer_class"] = CheckTrainer
        super().__init__(model_class, datamodule_class, args=list(args), **settings)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Returns the one command."""
        return {"check": set()}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of the check to those of ``fit``."""
        super().add_arguments_to_parser(parser)
        parser.add_class_arguments(CheckOptions, "check", as_group=False)

    def before_instantiate_classes(self) -> None:
        """Takes what belongs to a whole run out: nothing is logged, resumed or written but the report."""
        settings = self.settings
        self.options = CheckOptions(**settings.check)
        settings.model.seed = settings.data.init_args.seed = int(settings.seed_everything)
        settings.trainer.logger, settings.trainer.callbacks = False, None

    def after_instantiate_classes(self) -> None:
        """Has nothing to compare: no checkpoint is read."""

    def instantiate_trainer(self, **settings: Any) -> CheckTrainer:  # noqa: ANN401 - as Lightning's
        """Makes the trainer of a few steps.

        Raises:
            ValueError: if this machine has not what the run trains on.
        """
        made = self.config_init[self.subcommand]
        try:
            return make_trainer(made.trainer, made.checkpoint, self.options.steps)
        except MisconfigurationException as error:
            raise ValueError(
                f"{error} Check on the machine that trains, or check the data alone by --check.steps 0."
            ) from error

    def check(self, model: Segmenter, datamodule: LightningDataModule, **_: object) -> None:
        """Checks, reports, and leaves with 1 if something must be mended.

        Raises:
            SystemExit: with 1 if there are errors.
            ValueError: if the data module is none of Segue's.
        """
        if not isinstance(datamodule, CrossDomainDataModule):
            raise ValueError(
                f"check reads the domains of a CrossDomainDataModule, but data is a {type(datamodule).__name__}."
            )
        console, report = Console(), self._report_path()
        _make_room(report)
        try:
            result = inspect_data(datamodule, model.strategy, self.options, console)
            self._try_steps(result, model, console)
        except KeyboardInterrupt:
            console.print("stopped; there is no report.")
            raise SystemExit(130) from None
        print_report(result, report, console)
        write_report(result, self.typed, report)
        if result.has_errors:
            raise SystemExit(1)

    def _try_steps(self, result: CheckResult, model: Segmenter, console: Console) -> None:
        if self.options.steps == 0:
            result.no_estimate = "--check.steps is 0."
        elif result.has_errors:
            result.no_estimate = "mend the errors first."
        else:
            settings = self.config_init[self.subcommand].trainer
            assert isinstance(self.trainer, CheckTrainer)
            with console.status(f"trying {self.options.steps} steps of the run"):
                try:
                    result.estimate = try_steps(self.trainer, model, result.data, settings)
                # Whatever a strategy raises: what was found in the data is to be reported all the same.
                except Exception as error:
                    result.no_estimate = "the run stops."
                    result.findings.append(_stopped(error))

    def _report_path(self) -> Path:
        if self.options.report is not None:
            return Path(self.options.report)
        run = self.settings.run
        return (RUNS if run is None else named_run(run)) / "check.html"


def main(args: Sequence[str]) -> None:
    """Checks a run.

    Args:
        args: ``check``, and the options of ``lightning fit`` and ``--check.…``.

    Raises:
        SystemExit: with 1 if something must be mended, with 2 after a mistake in the arguments.
    """
    run(args, CheckCommandLine)


def _make_room(report: Path) -> None:
    """Takes an older report away and tries the folder: not after everything has been read."""
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.unlink(missing_ok=True)
        with tempfile.TemporaryFile(dir=report.parent):
            pass
    except OSError as error:
        raise OSError(
            f"The report {report} cannot be written: {error.strerror}. Name another file by --check.report."
        ) from error


def _stopped(error: Exception) -> Finding:
    mend = ""
    if "out of memory" in f"{error}".lower():
        mend = (
            "Make data.batch_size or data.crop smaller, set trainer.precision to bf16-mixed, or, if it was validation, "
            "set model.windows."
        )
    return Finding("error", f"the run was tried and stopped: {explain(f'{error}' or type(error).__name__)}", mend)

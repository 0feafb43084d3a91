"""``lightning check``: what is wrong with a run, and what it will take, before a night is spent on it."""

from collections.abc import Sequence
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser
from rich.console import Console

from lightning_app.check.check_trainer import CheckTrainer
from lightning_app.check.finding import Finding
from lightning_app.check.html_report import write_report
from lightning_app.check.inspection import inspect_data
from lightning_app.check.options import CheckOptions
from lightning_app.check.result import CheckResult
from lightning_app.check.terminal import print_report
from lightning_app.check.trial import make_trainer, try_steps
from lightning_app.command_line import run
from lightning_app.mistakes import explain
from lightning_app.report_command_line import ReportCommandLine, make_room
from lightning_app.segmenter import Segmenter


class CheckCommandLine(ReportCommandLine):
    """The command line of ``fit`` with ``--check.…``."""

    command_name = "check"
    trainer_type = CheckTrainer

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of the check to those of ``fit``."""
        super().add_arguments_to_parser(parser)
        parser.add_class_arguments(CheckOptions, "check", as_group=False)

    def before_instantiate_classes(self) -> None:
        """Takes the options; a checkpoint is not read."""
        super().before_instantiate_classes()
        self.options = CheckOptions(**self.settings.check)

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
        data = self.domains(datamodule)
        console, report = Console(), self.report_path(self.options.report, ".html")
        make_room([report], "--check.report")
        try:
            result = inspect_data(data, model.strategy, self.options, console)
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


def main(args: Sequence[str]) -> None:
    """Checks a run.

    Args:
        args: ``check``, and the options of ``lightning fit`` and ``--check.…``.

    Raises:
        SystemExit: with 1 if something must be mended, with 2 after a mistake in the arguments.
    """
    run(args, CheckCommandLine)


def _stopped(error: Exception) -> Finding:
    mend = ""
    if "out of memory" in f"{error}".lower():
        mend = (
            "Make data.batch_size or data.crop smaller, set trainer.precision to bf16-mixed, or, if it was validation, "
            "set model.windows."
        )
    return Finding("error", f"the run was tried and stopped: {explain(f'{error}' or type(error).__name__)}", mend)

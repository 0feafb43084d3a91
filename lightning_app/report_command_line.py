"""The command line of a command that takes the config of a training and reports in place of training."""

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, Trainer

from datamodules import CrossDomainDataModule
from lightning_app.command_line import RUNS, CommandLine, named_run
from lightning_app.segmenter import Segmenter


class ReportCommandLine(CommandLine):
    """The command line of ``fit`` with options of a command's own, which trains nothing and scores no checkpoint.

    Attributes:
        command_name: the command's name, which is a method of ``trainer_type`` and of the subclass.
        trainer_type: the class of the trainer, of whose method's signature Lightning makes options.
        typed: what was typed.
    """

    command_name: ClassVar[str]
    trainer_type: ClassVar[type[Trainer]]

    def __init__(
        self,
        model_class: type[Segmenter],
        datamodule_class: type[LightningDataModule],
        args: Sequence[str],
        **settings: Any,  # noqa: ANN401 - as of LightningCLI
    ) -> None:
        self.typed = f"lightning {shlex.join(args)}"
        settings["trainer_class"] = self.trainer_type
        super().__init__(model_class, datamodule_class, args=list(args), **settings)

    @classmethod
    def subcommands(cls) -> dict[str, set[str]]:
        """Returns the one command."""
        return {cls.command_name: set()}

    def before_instantiate_classes(self) -> None:
        """Takes what belongs to a whole run out: nothing is logged or called back."""
        settings = self.settings
        settings.model.seed = settings.data.init_args.seed = int(settings.seed_everything)
        settings.trainer.logger, settings.trainer.callbacks = False, None

    def after_instantiate_classes(self) -> None:
        """Has nothing to compare: no checkpoint is scored."""

    def instantiate_trainer(self, **settings: Any) -> Trainer:  # noqa: ANN401 - as Lightning's
        """Makes a trainer that finds the device.

        Raises:
            ValueError: if this machine has not what the config trains on.
        """
        try:
            return self.trainer_type(
                accelerator=self.settings.trainer.accelerator,
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
        except MisconfigurationException as error:
            raise ValueError(f"{error} Take another device by --trainer.accelerator, such as cpu.") from error

    def domains(self, datamodule: LightningDataModule) -> CrossDomainDataModule:
        """Returns the data module, if it is one of a pair of domains.

        Raises:
            ValueError: if it is none.
        """
        if not isinstance(datamodule, CrossDomainDataModule):
            raise ValueError(
                f"{self.command_name} reads the domains of a CrossDomainDataModule, but data is a "
                f"{type(datamodule).__name__}."
            )
        return datamodule

    def report_path(self, given: str | None, suffix: str) -> Path:
        """Returns where the report goes.

        Args:
            given: the file, if one was given; else it lies in the folder of ``--run``, or in ``runs``.
            suffix: of the file, such as ``.html``.
        """
        if given is not None:
            return Path(given)
        name = self.settings.run
        return (RUNS if name is None else named_run(name)) / f"{self.command_name}{suffix}"


def make_room(paths: Sequence[Path], option: str) -> None:
    """Takes an older report away and tries the folder: not after everything has been read.

    Args:
        paths: the files, in one folder.
        option: the option that names the first.

    Raises:
        OSError: if they cannot be written.
    """
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        with tempfile.TemporaryFile(dir=paths[0].parent):
            pass
    except OSError as error:
        raise OSError(
            f"The report {paths[0]} cannot be written: {error.strerror}. Name another file by {option}."
        ) from error

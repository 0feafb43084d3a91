"""The trainer of a check."""

from lightning.pytorch import Trainer


class CheckTrainer(Trainer):
    """A trainer for a few steps, whose command is ``check``."""

    def check(self, ckpt_path: str | None = None, weights_only: bool | None = None) -> None:
        """Read all files before a run, try a few steps, and report what must be mended.

        Args:
            ckpt_path: taken so that a config of ``fit`` can be checked, and not read.
            weights_only: the same.
        """
        # The command line runs the check; Lightning makes the command's options of this signature.
        raise NotImplementedError

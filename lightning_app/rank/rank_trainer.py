"""The trainer of a ranking, which trains nothing."""

from lightning.pytorch import Trainer


class RankTrainer(Trainer):
    """Finds the device; its command is ``rank``."""

    def rank(self, ckpt_path: str | None = None, weights_only: bool | None = None) -> None:
        """Tell from a few labelled target images which network transfers best, without training.

        Args:
            ckpt_path: taken so that a config of ``fit`` can be used, and not read.
            weights_only: the same.
        """
        # The command line ranks; Lightning makes the command's options of this signature.
        raise NotImplementedError

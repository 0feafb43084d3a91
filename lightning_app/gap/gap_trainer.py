"""The trainer of a measurement."""

from lightning.pytorch import Trainer


class GapTrainer(Trainer):
    """A trainer that only says on which device is measured, whose command is ``gap``."""

    def gap(self, ckpt_path: str | None = None, weights_only: bool | None = None) -> None:
        """Measure how far apart source and target are, and say which method that speaks for.

        Args:
            ckpt_path: the checkpoint whose network looks at the images; by default the network of the config, with
                ``model.encoder_weights`` or ``model.init_from``.
            weights_only: taken so that a config of ``fit`` can be used: no code of a file ever runs.
        """
        # The command line measures; Lightning makes the command's options of this signature.
        raise NotImplementedError

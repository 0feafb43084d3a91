"""What a run was made of, written into its folder."""

from pathlib import Path

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from datamodules.cross_domain_data_module import CrossDomainDataModule


class RunRecord(SaveConfigCallback):
    """Writes ``config.yaml`` and the splits of a fit into the run's folder, and sends the config to the logger.

    The folder is the run's own (``trainer.default_root_dir``) and not the logger's, which for some loggers is the same
    in every run.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Writes on rank 0, for a fit only."""
        if stage != "fit" or getattr(trainer, "fast_dev_run", False) or not trainer.is_global_zero:
            return
        data = getattr(trainer, "datamodule", None)
        folder = Path(trainer.default_root_dir)
        text = self.parser.dump(self.config, skip_none=False)
        (folder / "config.yaml").write_text(text)
        if isinstance(data, CrossDomainDataModule):
            record = {
                "splits": data.splits(),
                "labelled_target": data.labelled_names,
            }
            (folder / "splits.yaml").write_text(yaml.safe_dump(record, sort_keys=False, allow_unicode=True))
        for logger in trainer.loggers:
            logger.log_hyperparams(yaml.safe_load(text))

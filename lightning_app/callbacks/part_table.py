"""What trains, part by part: a table at the start of a run."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.table import Table

from lightning_app.optimization import scale_at
from lightning_app.segmenter import Segmenter
from strategies.base import ParameterGroup
from strategies.components.freezing import parts


class PartTable(Callback):
    """Prints the parts of the network and of the strategy with their sizes, learning rates and first steps."""

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the table, also at a resume."""
        assert isinstance(pl_module, Segmenter)
        Console().print(part_table(pl_module, trainer.optimizers[0].param_groups))


def part_table(segmenter: Segmenter, optimizer_groups: list[dict[str, Any]]) -> Table:
    """Makes the table: one row for each part and each group of its parameters.

    Args:
        segmenter: a segmenter whose optimizer was made.
        optimizer_groups: the optimizer's groups, in the same order as the segmenter's.

    Returns:
        Part, parameters, trainable ones, learning rate before the schedule, first step.
    """
    table = Table("part", "parameters", "trainable", "learning rate", "from step")
    for column in table.columns[1:]:
        column.justify = "right"
    of = dict(segmenter.network.named_parameters())
    owners = {part: [of[name] for name in names] for part, names in parts(segmenter.network).items()}
    in_network = {id(parameter) for parameter in of.values()}
    for group in segmenter.groups:
        own = [parameter for parameter in group["params"] if id(parameter) not in in_network]
        if own:
            owners[group["name"]] = own
    for part, parameters in owners.items():
        mine = {id(parameter) for parameter in parameters}
        trainable = 0
        turns: dict[tuple[str, str], None] = {}
        for group, made in zip(segmenter.groups, optimizer_groups, strict=True):
            count = sum(parameter.numel() for parameter in group["params"] if id(parameter) in mine)
            if count:
                trainable += count
                start = _first_step(segmenter, group)
                scale = scale_at(group, segmenter.step_at(start or 0))
                rate = "–" if start is None else f"{made['initial_lr'] * scale:.1e}"
                turns[rate, "after the end" if start is None else f"{start}"] = None
        table.add_row(
            part,
            f"{sum(parameter.numel() for parameter in parameters):,}",
            f"{trainable:,}",
            " / ".join(rate for rate, _ in turns) or "–",
            " / ".join(start for _, start in turns) or "frozen",
        )
    return table


def _first_step(segmenter: Segmenter, group: ParameterGroup) -> int | None:
    """Returns the first step in which a group is not held back, or None if that is not within the run."""
    if not callable(group.get("lr_scale", 1.0)):
        return 0 if scale_at(group, segmenter.step_at(0)) else None
    steps = range(segmenter.total_steps)
    return next((index for index in steps if scale_at(group, segmenter.step_at(index)) != 0), None)

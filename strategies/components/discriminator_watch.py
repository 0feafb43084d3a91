"""Says in plain words when a discriminator cannot teach."""

from collections.abc import Sequence

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

NOTHING, WON, GUESSING = 0, 1, 2
REMARKS = {
    WON: "was right nearly everywhere in {count} of the last {watched} batches: it has won, and its gradient says "
    "little about how to fool it. Lower discriminator_lr, or raise weight.",
    GUESSING: "was right in about half of the places in {count} of the last {watched} batches: it is guessing. Either "
    "the domains look alike to it, which is the aim, or it is too weak; if it guessed from the first steps, raise "
    "discriminator_lr.",
}


class DiscriminatorWatch(nn.Module):
    """Counts in how many batches discriminators had won or were guessing, and warns when nearly all were so.

    What it counted and said are integer buffers, so that a resumed run goes on with it and no precision touches it.

    Args:
        names: what each discriminator looks at, for the message.
    """

    tallies: Tensor
    verdicts: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = list(names)
        # Since the last look, of each: batches watched, won, guessed.
        self.register_buffer("tallies", torch.zeros(len(self.names), 3, dtype=torch.int64))
        # What was said of each, so that it is not said again.
        self.register_buffer("verdicts", torch.zeros(len(self.names), dtype=torch.int64))

    def observe(self, source: Tensor, target: Tensor) -> None:
        """Counts one batch, without waiting for the device.

        Args:
            source: (discriminators) share of the source's places that each was right in, in [0, 1].
            target: (discriminators) the same of the target.
        """
        won = torch.minimum(source, target) > 0.98
        guessing = (source + target - 1).abs() < 0.1
        self.tallies += torch.stack([torch.ones_like(won), won, guessing], dim=1)

    def look(self) -> None:
        """Warns of each discriminator that has won, or was guessing, in nine batches of ten since the last look.

        This waits for the device. A verdict that was given at the last look is not repeated.
        """
        verdicts = []
        for name, (watched, won, guessing), before in zip(
            self.names, self.tallies.tolist(), self.verdicts.tolist(), strict=True
        ):
            verdict = WON if won > 0.9 * watched else GUESSING if guessing > 0.9 * watched else NOTHING
            verdicts.append(verdict)
            if verdict not in (NOTHING, before):
                remark = REMARKS[verdict].format(count=won if verdict == WON else guessing, watched=watched)
                rank_zero_warn(f"The discriminator of {name} {remark}")
        self.verdicts.copy_(torch.tensor(verdicts))
        self.tallies.zero_()

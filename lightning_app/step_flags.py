"""Two facts about a training step that all ranks must learn, and for which the device is hardly waited for."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass
class _Posted:
    step: int
    terms: list[str]
    files: list[str]
    finite: Tensor
    flags: Tensor
    work: distributed.Work | None
    event: torch.cuda.Event | None


class StepFlags:
    """Whether a term was not finite, and whether some rank was asked to stop: posted in one step, read in the next.

    The flags are max-reduced over the ranks on the device, and all ranks act on the same step. A GPU that lags behind
    is waited for until it has computed the terms of the step before, while the optimizer's kernels keep it busy.
    """

    def __init__(self) -> None:
        self._posted: _Posted | None = None

    def post(self, step: int, terms: dict[str, Tensor], files: Sequence[str], stop: bool) -> None:
        """Notes the flags of a step.

        Args:
            step: index of the optimizer step, for the message.
            terms: the step's scalar terms, detached.
            files: names of the batch's images, for the message.
            stop: whether this rank was asked to stop.
        """
        finite = torch.stack([value.isfinite() for value in terms.values()])
        flags = torch.stack([~finite.all(), torch.full_like(finite[0], stop)]).to(torch.int32)
        work, event = None, None
        many = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        if flags.is_cuda:
            if many:
                distributed.all_reduce(flags, op=distributed.ReduceOp.MAX)
            # A copy that is waited for by its own event, so that reading it does not wait for the optimizer's kernels.
            flags, finite = (t.to("cpu", non_blocking=True) for t in (flags, finite))
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's own
            event.record()
        elif many:
            work = distributed.all_reduce(flags, op=distributed.ReduceOp.MAX, async_op=True)
        self._posted = _Posted(step, list(terms), list(files), finite, flags, work, event)

    def read(self) -> bool:
        """Reads the flags posted last, once.

        Returns:
            Whether some rank was asked to stop.

        Raises:
            FloatingPointError: on every rank, if a term was not finite on one of them; that rank's message names
                the term and the files.
        """
        posted, self._posted = self._posted, None
        if posted is None:
            return False
        if posted.work is not None:
            posted.work.wait()
        if posted.event is not None:
            posted.event.synchronize()
        bad, stop = posted.flags.tolist()
        if bad:
            guilty = [name for name, fine in zip(posted.terms, posted.finite.tolist(), strict=True) if not fine]
            where = (
                f"{', '.join(guilty)} is not finite; the batch holds {', '.join(posted.files)}"
                if guilty
                else "a term is not finite on another rank, whose message names the files"
            )
            raise FloatingPointError(
                f"The loss went wrong in step {posted.step}: {where}. Training stops; the checkpoints written before "
                "are good. Look at these images and masks, lower the learning rate, or set trainer.gradient_clip_val."
            )
        return bool(stop)

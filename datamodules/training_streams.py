"""Which images are in the training streams, and how many batches they make."""

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import get_args

from lightning.pytorch.utilities import rank_zero_warn

from datamodules.batch import DomainName, StreamName
from datamodules.names import Names
from datamodules.side import Side
from datamodules.target_labels import choose_labels, parse_labels


class TrainingStreams:
    """Chooses the images of each stream; only the target labels that were given come into one.

    Args:
        sides: the domains of the run.
        labels: the target labels that training may use, as ``data.labels`` spells them.
        seed: decides which images a number, a share or groups take.

    Raises:
        ValueError: if a number of labels is out of bounds.
    """

    def __init__(self, sides: Mapping[DomainName, Side], labels: int | float | str | None, seed: int) -> None:
        self.sides = sides
        self.labels = labels
        self.seed = seed
        self._labels = parse_labels(labels)

    @cached_property
    def labelled_names(self) -> Names:
        """The target training images whose labels are given for training, sorted.

        Raises:
            FileNotFoundError: if the list file does not exist.
            ValueError: if labels are asked for that do not exist.
        """
        if self._labels == "none":
            return Names()
        if "target" not in self.sides:
            raise ValueError(f"data.labels is {self.labels}, but there is no target domain.")
        target = self.sides["target"]
        chosen = choose_labels(self._labels, target.splits["train"], target.domain, self.seed)
        target.require_masks(chosen, f"data.labels is {self.labels}")
        return Names(sorted(chosen))

    def choose(
        self, required: Iterable[StreamName], optional: Iterable[StreamName] = (), strategy: str = "The strategy"
    ) -> dict[StreamName, Names]:
        """Returns the images of the streams that a strategy gets: the required ones, and the optional ones there are.

        Args:
            required: streams without which it cannot train.
            optional: streams that it can use.
            strategy: its name, for errors.

        Raises:
            ValueError: if a required stream is not to be had, or a source image has no mask.
        """
        required, optional = list(required), list(optional)
        for stream in (*required, *optional):
            if stream not in get_args(StreamName):
                raise ValueError(
                    f"{strategy} declares the stream {stream!r}; streams are {', '.join(get_args(StreamName))}."
                )
        names: dict[StreamName, Names] = {}
        for stream in get_args(StreamName):
            if stream in required or stream in optional:
                found = self._stream(stream)
                if len(found):
                    names[stream] = found
                elif stream in required:
                    raise ValueError(self._lack(stream, strategy))
        return names

    def _stream(self, stream: StreamName) -> Names:
        if stream == "labelled_target":
            return self.labelled_names
        if stream not in self.sides:
            return Names()
        return self._source_names if stream == "source" else self.sides["target"].splits["train"]

    @cached_property
    def _source_names(self) -> Names:
        # Once: to see that each has its mask is a walk through the folders.
        names = self.sides["source"].splits["train"]
        hint = ""
        target = self.sides.get("target")
        if target is not None and len(target.splits["train"]) and target.domain.has_mask(target.splits["train"][0]):
            hint = " The target's have masks: are source and target swapped?"
        if len(names):
            self.sides["source"].require_masks(names, "source images are trained with their masks", hint)
        return names

    def _lack(self, stream: StreamName, strategy: str) -> str:
        role: DomainName = "source" if stream == "source" else "target"
        if stream == "labelled_target":
            needs = f"{strategy} requires labelled target images, but"
            if role in self.sides:
                return f"{needs} data.labels is {self.labels}. Set data.labels to a number, a list file or all."
        else:
            needs = f"{strategy} requires {role} images, but"
        if role not in self.sides:
            return f"{needs} there is no {role} domain: data.{role} is not given."
        return f"{needs} the split {role}/train is empty."


def count_batches(streams: Mapping[StreamName, Names], batch_size: int) -> int:
    """Returns the batches of one pass over the longest labelled stream, or else over the target.

    Warns of streams that do not fill one batch.

    Args:
        streams: the images of each stream, one at least.
        batch_size: images of a batch on all ranks.
    """
    for stream, names in streams.items():
        if len(names) < batch_size:
            rank_zero_warn(
                f"stream {stream} has fewer images ({len(names)}) than a batch on all ranks ({batch_size}): "
                "they repeat within it."
            )
    labelled = [names for stream, names in streams.items() if stream != "target"]
    return math.ceil(max(len(names) for names in labelled or streams.values()) / batch_size)

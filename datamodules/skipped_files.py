"""Files that cannot be read and shall not end a training: another image in their place, and a count."""

import errno
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from datamodules.names import some
from datamodules.samplers import stream_generator

MOST_TRIES = 16
"""So many unreadable images one after the other are no accident."""

Read = TypeVar("Read")

_OUT_OF_RESOURCES = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)


def is_fault_of_file(error: Exception) -> bool:
    """Tells whether an error says that a file cannot be read, and not that the machine lacks something."""
    return isinstance(error, ValueError | OSError) and getattr(error, "errno", None) not in _OUT_OF_RESOURCES


class SkippedFile(NamedTuple):
    """An image that could not be read.

    Attributes:
        name: the image's name.
        reason: what the reader said.
    """

    name: str
    reason: str


def read_or_another(
    read: Callable[[int], Read], names: Sequence[str], index: int, *, draw: int, seed: int, stream: str
) -> tuple[Read, list[SkippedFile]]:
    """Reads an image or, if it cannot be read, another one in its place.

    The others are drawn evenly from all images and depend on the seed, the stream and the draw number alone: a resumed
    training replaces a file as an uninterrupted one does, as long as the same files are unreadable. A replacement
    comes on top of its own draws, so within a pass that image may be seen twice, on the same rank or on two.

    Args:
        read: reads the image of an index.
        names: the images.
        index: the image that was drawn.
        draw: the draw number, at least 0.
        seed: the seed of the data.
        stream: the stream that is trained on.

    Returns:
        What was read, and the images that were skipped on the way.

    Raises:
        ValueError: if 16 images one after the other, or all there are, cannot be read.
    """
    try:
        return read(index), []
    except (ValueError, OSError) as error:
        skipped = [_skip(names[index], error)]
    generator = stream_generator(seed, f"replacement/{stream}", draw)
    others = generator.choice(len(names), min(MOST_TRIES, len(names)), replace=False)
    for other in others[others != index][: MOST_TRIES - 1].tolist():
        try:
            return read(other), skipped
        except (ValueError, OSError) as error:
            skipped.append(_skip(names[other], error))
    raise ValueError(
        f"none of {len(skipped)} images of stream {stream} could be read: {some([file.name for file in skipped])}. "
        f"The last was skipped because: {skipped[-1].reason}"
    )


class SkippedFiles:
    """Counts the images that a training skipped in this process, and warns of each once.

    The count is of one part of a run: after a resume it starts at 0. Every rank counts and warns of its own.

    Attributes:
        draws: how many draws were replaced.
    """

    def __init__(self) -> None:
        self._draws: Counter[tuple[str, str]] = Counter()

    @property
    def draws(self) -> int:
        """How many draws fell on unreadable images."""
        return self._draws.total()

    def add(self, domain: str, skipped: Sequence[SkippedFile]) -> None:
        """Counts what a batch skipped; a file that is new here is warned of.

        Args:
            domain: the domain the batch is of, for the messages.
            skipped: the images skipped.
        """
        for file in skipped:
            key = domain, file.name
            if key not in self._draws:
                warnings.warn(f"skipped {domain} image {file.name}: {file.reason}", stacklevel=2)
            self._draws[key] += 1

    def summary(self) -> str | None:
        """Returns how often which files were skipped, the most frequent first; None if there were none."""
        if not self._draws:
            return None
        files = [f"{domain} image {name} ({count} ×)" for (domain, name), count in self._draws.most_common()]
        return f"skipped {self.draws} draws of {len(files)} unreadable files: {some(files)}."


def _skip(name: str, error: ValueError | OSError) -> SkippedFile:
    if not is_fault_of_file(error):
        raise error
    return SkippedFile(name, str(error))

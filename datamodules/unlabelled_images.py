"""The target images that are validated although no label says what is right."""

from datamodules.names import Names
from datamodules.side import Side

MOST_OF_TRAINING = 100
"""Training images, at most, that are validated."""


def unlabelled_images(target: Side) -> Names:
    """Finds the images for the scores that need no labels.

    They are those in ``val`` of a target without masks, or of the parts of it that have none; where ``val`` is empty,
    at most 100 training images, evenly spaced in their order.

    Args:
        target: the target.
    """
    val, train = target.splits["val"], target.splits["train"]
    if not len(val):
        count = min(len(train), MOST_OF_TRAINING)
        return Names(train[(2 * place + 1) * len(train) // (2 * count)] for place in range(count))
    parts = target.by_part(val).values()
    return Names(name for names in parts if not target.has_labels(names) for name in names)

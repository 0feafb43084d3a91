"""Classes that training would never see."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from datamodules.batch import IGNORE, DomainName, StreamName
from datamodules.mask_reader import MaskReader
from datamodules.names import Names
from datamodules.side import Side

MOST_MASKS_READ = 200
"""At most so many training masks are read in search of absent classes."""


def absent_classes(
    sides: Mapping[DomainName, Side],
    streams: Mapping[StreamName, Names],
    classes: Sequence[str],
    skip_bad_files: bool,
) -> list[str]:
    """Returns the classes that none of the masks given for training holds, and warns of them.

    Reads a spread of the masks, until all classes are seen.

    Args:
        sides: the domains of the run.
        streams: the images of the streams; the masks of the labelled ones are read.
        classes: the class names of the run.
        skip_bad_files: whether masks that cannot be read are passed over.

    Raises:
        ValueError: if a mask cannot be read, or holds an id that no class has.
    """
    given: dict[DomainName, Names] = {
        "target": streams.get("labelled_target", Names()),
        "source": streams.get("source", Names()),
    }
    step = math.ceil(sum(map(len, given.values())) / MOST_MASKS_READ) or 1
    masks: list[tuple[MaskReader, str]] = [
        (sides[role].mask_reader, name) for role, names in given.items() for name in names[::step]
    ]
    ids: set[int] = set()
    for reader, name in masks:
        try:
            found = reader.read_ids(name)
        except (ValueError, OSError):
            if not skip_bad_files:
                raise
            continue
        ids |= set(np.flatnonzero(np.bincount(reader.to_classes(found, name).ravel())).tolist())
        if len(ids - {IGNORE}) == len(classes):
            break
    absent = [name for class_id, name in enumerate(classes) if class_id not in ids]
    if masks and absent:
        hint = " They hold only 0 and 255: if 255 is a class, set label_map: {255: 1}." if ids == {0, IGNORE} else ""
        rank_zero_warn(f"classes absent from the {len(masks)} training masks read: {', '.join(absent)}.{hint}")
    return absent

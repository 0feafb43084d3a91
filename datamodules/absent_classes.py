"""Classes that training would never see."""

from collections.abc import Sequence

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from datamodules.batch import IGNORE
from datamodules.mask_reader import MaskReader


def absent_classes(masks: Sequence[tuple[MaskReader, str]], classes: Sequence[str], skip_bad_files: bool) -> list[str]:
    """Returns the classes that none of the masks holds, and warns of them; reads until all classes are seen.

    Args:
        masks: the reader and the image of each.
        classes: the class names of the run.
        skip_bad_files: whether masks that cannot be read are passed over.

    Raises:
        ValueError: if a mask cannot be read, or holds an id that no class has.
    """
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

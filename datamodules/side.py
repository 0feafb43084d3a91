"""A domain in its role: with its splits, its classes and its masks."""

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import groupby

from lightning.pytorch.utilities import rank_zero_warn

from datamodules.batch import DomainName
from datamodules.domain import Domain, Split
from datamodules.joined_domains import JoinedDomains
from datamodules.label_map import LabelMap
from datamodules.mask_reader import MaskReader
from datamodules.names import Names, some
from datamodules.reading import CHANNEL_CONVERSIONS
from datamodules.splits import SPLITS


class Side:
    """The source or the target of a run.

    Args:
        role: which of the two.
        domain: the domain.
        key: the configuration's key of it, for errors.
        classes: the class names of the run.

    Attributes:
        parts: the domains by name where several are joined, or else this one under an empty string.
        label_maps: from each part's ids to the run's.

    Raises:
        ValueError: if the domain's classes or label map do not fit the run's classes.
    """

    def __init__(self, role: DomainName, domain: Domain, key: str, classes: Sequence[str]) -> None:
        self.role = role
        self.domain = domain
        self.key = key
        self.parts = domain.parts if isinstance(domain, JoinedDomains) else {"": domain}
        self.label_maps = {
            part: LabelMap(
                one.classes,
                one.label_map,
                classes,
                f"label_map of {part!r} in {key}" if part else f"{key}.init_args.label_map",
            )
            for part, one in self.parts.items()
        }
        self._channels_said = False

    @cached_property
    def splits(self) -> dict[Split, Names]:
        """The names of each split.

        Raises:
            FileNotFoundError: if a folder or a listed image does not exist.
            ValueError: if a list or the names contradict themselves.
        """
        try:
            return {split: _compact(self.domain.names(split)) for split in SPLITS}
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{self.key}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{self.key}: {error}") from error

    @property
    def mask_reader(self) -> MaskReader:
        """Reads the masks in the class ids of the run."""
        return MaskReader(self.domain, self.role, self.label_maps)

    @property
    def classes_shown(self) -> set[int]:
        """The class ids that masks of this side can hold."""
        return {class_id for label_map in self.label_maps.values() for class_id in label_map.reached}

    def by_part(self, names: Sequence[str]) -> dict[str, Names]:
        """Sorts images by the part that they are of; parts without any are left out."""
        if len(self.parts) == 1:
            return {"": _compact(names)} if len(names) else {}
        return {part: Names(of_part) for part, of_part in groupby(names, self.domain.part)}

    def has_labels(self, names: Sequence[str]) -> bool:
        """Tells whether any of the images has a mask."""
        return len(self.domain.without_mask(names)) < len(names)

    def labelled_parts(self, split: Split) -> list[str]:
        """Returns the parts that have masks in a split."""
        return [part for part, names in self.by_part(self.splits[split]).items() if self.has_labels(names)]

    def require_masks(self, names: Sequence[str], why: str, hint: str = "") -> None:
        """Raises ValueError if one of the images has no mask, or masks do not belong to the images."""
        self.domain.check_masks()
        lacking = self.domain.without_mask(names)
        if lacking:
            place = self.domain.mask_place(lacking[0])
            looked = f" Looked for {place}." if place else ""
            raise ValueError(f"{self.role} images without a mask: {some(lacking)}; {why}.{looked}{hint}")

    def say_conversion(self, names: Sequence[str], channels: int) -> None:
        """Warns, once, if images have other channels than the run and are converted."""
        # Said here and not where it happens, or every worker would say it.
        if self._channels_said:
            return
        self._channels_said = True
        for name in names[:: math.ceil(len(names) / 4) or 1]:
            try:
                found = self.domain.read_image(name).shape[2]
            except (ValueError, OSError):  # said, or skipped, where it is read in earnest
                continue
            if (found, channels) in CHANNEL_CONVERSIONS:
                rank_zero_warn(
                    f"{self.role}: {CHANNEL_CONVERSIONS[found, channels]}, because data.channels is {channels}."
                )
                return


def _compact(names: Sequence[str]) -> Names:
    return names if isinstance(names, Names) else Names(names)

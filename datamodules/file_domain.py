"""What domains in files have in common: names, splits, masks in several encodings."""

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.color_table import ColorTable
from datamodules.domain import Domain, IdArray, ImageArray, Split
from datamodules.georeference import Georeference, read_georeference
from datamodules.mask_reading import read_mask
from datamodules.names import Names, nearest, some
from datamodules.reading import read_reduced
from datamodules.splits import NO_SPLIT, SPLITS, check_shares, read_list, split_by_lists, split_by_shares


class FileDomain(Domain):
    """Images and masks in files; subclasses say where they are.

    Args:
        name: a short name, for scores of several domains.
        classes: the names of the ids in the masks: a list (id = position) or a mapping of ids. None: the ids are those
            of ``data.classes``.
        colors: the colour (red, green, blue) of each class, for masks that are RGB images. Where ``classes`` is not
            given, the classes are these, in this order; ``ignore`` may be among them.
        label_map: what ids or classes of this domain become: ids or classes of the run, or ``ignore``. Classes of the
            same name need no entry; ``*`` stands for all that are not the run's.
        mask_channel: the channel that holds the ids, 0 being the first, for masks of several channels.
        value_range: the pixel values that become 0 and 1. Needed for 16-bit and float images.
        shares: of train, val and test among the images with masks, where nothing else says what is in the splits.
        split_seed: another seed gives another split by shares.
        group: a regular expression. What it finds in a name, or its first group, is what the image belongs to (a
            drive, a slide, a patient): all of that stay in one split by shares, and ``data.labels`` can count them.

    Raises:
        ValueError: if an argument is out of bounds or contradicts another.
    """

    def __init__(
        self,
        name: str,
        classes: list[str] | dict[int, str] | None = None,
        colors: dict[str, tuple[int, int, int]] | None = None,
        label_map: dict[int | str, int | str] | None = None,
        mask_channel: int | None = None,
        value_range: tuple[float, float] | None = None,
        shares: tuple[float, float, float] = (0.7, 0.15, 0.15),
        split_seed: int = 0,
        group: str | None = None,
    ) -> None:
        if value_range is not None and value_range[0] >= value_range[1]:
            raise ValueError(f"value_range is {list(value_range)}; the first value must be below the second.")
        if mask_channel is not None and mask_channel < 0:
            raise ValueError(f"mask_channel is {mask_channel}; 0 is the first channel.")
        if mask_channel is not None and colors is not None:
            raise ValueError("mask_channel and colors are both given; a mask holds ids in a channel, or colours.")
        check_shares(shares)
        self.name = name
        self.classes = list(colors) if classes is None and colors is not None else classes
        self.label_map = dict(label_map or {})
        self.value_range = None if value_range is None else (value_range[0], value_range[1])
        self.mask_channel = mask_channel
        self.shares = shares
        self.split_seed = split_seed
        self._colors = None if colors is None else _color_table(colors, self.classes or ())
        self.mask_encoding = f"{self._colors!r}, channel {mask_channel}"
        try:
            self._group = None if group is None else re.compile(group)
        except re.error as error:
            raise ValueError(f"group is {group!r}, which is no regular expression: {error}.") from error

    @property
    def split_names(self) -> Mapping[Split, str | None]:
        """The domain's own names of the splits, in folders, lists and tables; None where it has no such split."""
        return {split: split for split in SPLITS}

    @cached_property
    @abstractmethod
    def images(self) -> Names:
        """The names of all images, in ascending order.

        Raises:
            FileNotFoundError: if there is no such folder or file, or no image in it.
            ValueError: if two images have the same name.
        """

    @property
    @abstractmethod
    def labelled(self) -> NDArray[np.bool_]:
        """(N) whether each of ``images`` has a mask."""

    @abstractmethod
    def image_path(self, name: str) -> Path:
        """Returns the file of an image.

        Raises:
            FileNotFoundError: if there is none.
        """

    @abstractmethod
    def mask_path(self, name: str) -> Path | None:
        """Returns the file of an image's mask, or None if there is none."""

    def own_split(self, name: str) -> str | None:
        """Returns the split in which the files put an image, by its own name; None if they put none anywhere."""
        return None

    def lists(self) -> list[tuple[Split, Path, str]]:
        """Returns the split, the file and the beginning of the names of every list of images."""
        return []

    def names(self, split: Split) -> Names:
        """Returns the names of a split in ascending order.

        Raises:
            FileNotFoundError: if a folder or a listed image does not exist.
            ValueError: if the names or the lists contradict themselves.
        """
        chosen = np.flatnonzero(self._split_numbers == SPLITS.index(split))
        return Names(self.images[number] for number in chosen.tolist())

    def has_mask(self, name: str) -> bool:
        """Tells whether the mask's file exists."""
        return self.mask_path(name) is not None

    def without_mask(self, names: Sequence[str]) -> list[str]:
        """Returns those of the images that have no mask, without looking for each mask by itself."""
        lacking = {self.images[number] for number in np.flatnonzero(~self.labelled).tolist()}
        return [name for name in names if name in lacking]

    def read_image(self, name: str) -> ImageArray:
        """Reads an image as ``reading.read_image`` does."""
        return self.read_reduced(name, 1)[0]

    def read_reduced(self, name: str, reduction: int) -> tuple[ImageArray, tuple[int, int]]:
        """Reads an image as ``reading.read_reduced`` does."""
        return read_reduced(self.image_path(name), reduction, self.value_range)

    def read_mask(self, name: str) -> IdArray:
        """Reads a mask as ``mask_reading.read_mask`` does."""
        path = self.mask_path(name)
        if path is None:
            raise FileNotFoundError(f"image {name!r} has no mask: {self.mask_place(name)} does not exist.")
        return read_mask(path, self._colors, self.mask_channel)

    def group(self, name: str) -> str:
        """Returns what ``group`` finds in a name, or else the name.

        Raises:
            ValueError: if it finds nothing.
        """
        if self._group is None:
            return name
        found = self._group.search(name)
        if found is None:
            raise ValueError(f"group is {self._group.pattern!r}, which finds nothing in the name {name!r}.")
        return str(found[1] if found.re.groups else found[0])

    @property
    def has_groups(self) -> bool:
        """Whether images belong together."""
        return self._group is not None

    def files(self, name: str) -> list[Path]:
        """Returns the files of an image and, if it has one, of its mask."""
        mask = self.mask_path(name)
        return [self.image_path(name)] + ([] if mask is None else [mask])

    def georeference(self, name: str) -> Georeference | None:
        """Returns where on the earth an image lies, or None if its file does not say."""
        return read_georeference(self.image_path(name))

    @cached_property
    def _split_numbers(self) -> NDArray[np.uint8]:
        images = self.images
        if self.own_split(images[0]) is not None:
            return self._own_splits([self.own_split(name) or "" for name in images])
        lists = self.lists()
        if lists:
            return split_by_lists(images, self._listed(lists))
        groups = Names(map(self.group, images)) if self.has_groups else images
        return split_by_shares(self.labelled, groups, self.shares, self.split_seed)

    def _own_splits(self, found: Sequence[str]) -> NDArray[np.uint8]:
        own = {name: SPLITS.index(split) for split, name in self.split_names.items() if name}
        there = set(found)
        if not there & own.keys():
            raise ValueError(
                f"{self.place} holds the splits {some(sorted(there))}, but none of {', '.join(own)}. Set split_names "
                "to what train, val and test are called, with null for a split that is not there."
            )
        return np.array([own.get(name, NO_SPLIT) for name in found], dtype=np.uint8)

    def _listed(self, lists: Sequence[tuple[Split, Path, str]]) -> dict[Split, dict[str, Path]]:
        listed: dict[Split, dict[str, Path]] = {}
        for split, path, prefix in lists:
            for name, line in read_list(path).items():
                if self.images.find(prefix + name) is None:
                    raise FileNotFoundError(
                        f"{path}, line {line}: there is no image {name!r} in {self.place}.{nearest(name, self.images)}"
                    )
                listed.setdefault(split, {})[prefix + name] = path
        for first, second in combinations(listed.values(), 2):
            twice = sorted(first.keys() & second.keys())
            if twice:
                raise ValueError(
                    f"{first[twice[0]]} and {second[twice[0]].name} both list {some(twice)}; an image belongs to one "
                    "split, or the scores are those of images that were trained on."
                )
        return listed

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the images are, for errors."""

    def _ascending(self, names: Sequence[str]) -> Names:
        """Sorts names and refuses one that two images have."""
        ordered = sorted(names)
        for first, second in pairwise(ordered):
            if first == second:
                raise ValueError(
                    f"two images in {self.place} have the name {first!r} without suffix: rename one of them."
                )
        return Names(ordered)


def _color_table(colors: Mapping[str, Sequence[int]], classes: Sequence[str] | Mapping[int, str]) -> ColorTable:
    ids = {name: id_ for id_, name in (classes.items() if isinstance(classes, Mapping) else enumerate(classes))}
    strange = [name for name in colors if name not in ids]
    if strange:
        raise ValueError(f"colors names {some(strange)}, which classes does not; its names are {some(list(ids), 50)}.")
    return ColorTable(colors, ids)

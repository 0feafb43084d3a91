"""A domain in folders of files."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.domain import Split
from datamodules.file_domain import FileDomain
from datamodules.mask_reading import MASK_SUFFIXES
from datamodules.names import Names, distinct, nearest, some
from datamodules.path_pattern import PathPattern
from datamodules.reading import SUFFIXES
from datamodules.splits import SPLITS

LISTS = "{split}.txt"
"""Where the lists of the splits are, if there are any, unless a domain is told otherwise."""


class FolderDomain(FileDomain):
    """Images and masks in folders, a mask under its image's name.

    What is in the splits is said by ``{split}`` in the pattern of the images, or else by the lists, where a missing one
    is an empty split. Without either the images that have masks are split by ``shares`` and the seed, and those that
    have none are for training.

    Args:
        root: the folder, or several whose images are joined.
        images: the folder of the images within the root, or a pattern such as ``{split}/*/frames/*_rgb.png``: ``*``
            stands for anything within a name, ``**/`` for any folders, ``{split}`` for the name of a split. An image's
            name is its path from the first of these to the last.
        masks: the same for the masks, with as many of these in the same order as ``images`` has. A target without
            masks is the normal case.
        lists: the lists of the splits within the root.
        split_names: the names that ``{split}`` stands for, where they are not ``train``, ``val`` and ``test``; null
            for a split that is not there.
        settings: the other arguments of ``FileDomain``: classes, colours, label map, value range, shares, groups.

    Raises:
        ValueError: if an argument is out of bounds or contradicts another.
    """

    def __init__(
        self,
        root: str | list[str],
        images: str = "images",
        masks: str = "masks",
        lists: str = LISTS,
        split_names: dict[Split, str | None] | None = None,
        **settings: Any,  # noqa: ANN401 - FileDomain says
    ) -> None:
        self.roots = _labelled([root] if isinstance(root, str) else root)
        name = "+".join(self.roots)
        super().__init__(name, **settings)
        self._images = PathPattern(images, SUFFIXES, "images")
        self._masks = PathPattern(masks, MASK_SUFFIXES, "masks")
        if self._images.wildcards != self._masks.wildcards:
            raise ValueError(
                f"images is {images!r} and masks is {masks!r}; both need the same *, **/ and {{split}} in the same "
                "order, so that a mask can be found from its image's name."
            )
        unknown = [split for split in split_names or {} if split not in SPLITS]
        if unknown:
            raise ValueError(f"split_names names {some(unknown)}; the splits are {', '.join(SPLITS)}.")
        self._split_names: dict[Split, str | None] = {split: split for split in SPLITS}
        self._split_names |= split_names or {}
        named = [name for name in self._split_names.values() if name]
        if len(set(named)) < len(named):
            raise ValueError(f"split_names is {split_names}; two splits cannot be the same images.")
        self._lists = lists

    @property
    def split_names(self) -> Mapping[Split, str | None]:
        """The names that ``{split}`` stands for."""
        return self._split_names

    @cached_property
    def images(self) -> Names:
        """The names of all images, in ascending order; with several roots each begins with its root's name."""
        found: list[str] = []
        for label, root in self.roots.items():
            self._check_folder(root)
            inside = list(self._images.walk(root))
            if not inside:
                suffixes = f" with the suffixes {', '.join(SUFFIXES)}" if self._images.takes_any_suffix else ""
                raise FileNotFoundError(f"no images in {root}: looked for {self._images.pattern}{suffixes}.")
            found += [self._prefix(label) + name for name in inside]
        return self._ascending(found)

    @cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """(N) whether each of ``images`` has a mask, by one walk through the masks: to ask for each takes a minute."""
        masked = {name for label, root in self.roots.items() for name in self._masked(label, root)}
        return np.fromiter((name in masked and not self.is_withheld(name) for name in self.images), dtype=np.bool_)

    def is_withheld(self, name: str) -> bool:
        """Tells whether the labels of an image are not public, so that a mask which lies there counts as none."""
        return False

    def image_path(self, name: str) -> Path:
        """Returns the file of an image.

        Raises:
            FileNotFoundError: if there is none.
        """
        root, inside = self._root(name)
        captures = self._images.captures(inside)
        found = None if captures is None else self._images.find(root, captures)
        if found is not None:
            return found
        raise FileNotFoundError(f"there is no image {name!r} in {self.place}.")

    def mask_path(self, name: str) -> Path | None:
        """Returns the file of an image's mask, or None if there is none."""
        root, inside = self._root(name)
        captures = self._images.captures(inside)
        return None if captures is None or self.is_withheld(name) else self._masks.find(root, captures)

    def mask_place(self, name: str) -> str:
        """Returns where the mask of an image would have to be, for errors."""
        root, inside = self._root(name)
        others = f" or {', '.join(MASK_SUFFIXES[1:])}" if self._masks.takes_any_suffix else ""
        return f"{root / next(self._masks.paths(self._images.captures(inside) or ()))}{others}"

    def own_split(self, name: str) -> str | None:
        """Returns what stands for ``{split}`` in the pattern of the images."""
        return self._images.split(self._root(name)[1])

    def lists(self) -> list[tuple[Split, Path, str]]:
        """Returns the split, the file and the beginning of the names of every list.

        Raises:
            FileNotFoundError: if one of several roots has no list, and another has.
        """
        if "{split}" in self._images.wildcards:
            return []
        found: list[tuple[Split, Path, str]] = []
        without: list[str] = []
        for label, root in self.roots.items():
            own = [
                (split, root / self._lists.replace("{split}", name)) for split, name in self.split_names.items() if name
            ]
            there = [(split, path, self._prefix(label)) for split, path in own if path.is_file()]
            found += there
            without += [] if there else [str(root)]
        if not found and self._lists != LISTS:
            raise FileNotFoundError(
                f"lists is {self._lists!r}, but {own[0][1]} does not exist, nor does that of another split."
            )
        if found and without:
            raise FileNotFoundError(f"there is {found[0][1]}, but no list in {some(without)}: each root needs its own.")
        return found

    def check_masks(self) -> None:
        """Raises ValueError if there are masks without an image."""
        images = set(self.images)
        for label, root in self.roots.items():
            masked = sorted(self._masked(label, root))
            twice = [name for name, other in pairwise(masked) if name == other]
            if twice:
                raise ValueError(
                    f"images with two masks in {root / self._masks.folder}: {some(twice)}. Keep one of each."
                )
            orphans = [name for name in masked if name not in images]
            if orphans:
                raise ValueError(
                    f"masks without an image of the same name in {root / self._images.folder}: {some(orphans)} "
                    f"(in {root / self._masks.folder})."
                )

    @property
    def place(self) -> str:
        """Where the images are, for errors."""
        return " and ".join(str(root / self._images.folder) for root in self.roots.values())

    def _masked(self, label: str, root: Path) -> Iterator[str]:
        """Yields the names of the images whose masks there are below a root, of images that are not there too."""
        if (root / self._masks.folder).is_dir():
            for captures in filter(None, map(self._masks.captures, self._masks.walk(root))):
                yield self._prefix(label) + self._images.rebuild(captures)

    def _prefix(self, label: str) -> str:
        return f"{label}/" if len(self.roots) > 1 else ""

    def _root(self, name: str) -> tuple[Path, str]:
        """Returns the root of an image and its name without the root's."""
        if len(self.roots) == 1:
            return next(iter(self.roots.values())), name
        label, _, inside = name.partition("/")
        if label not in self.roots:
            raise FileNotFoundError(f"there is no image {name!r}: names begin with {' or '.join(self.roots)}.")
        return self.roots[label], inside

    def _check_folder(self, root: Path) -> None:
        if not root.is_dir():
            above = next(folder for folder in root.absolute().parents if folder.is_dir())
            near = nearest(root.name, (path.name for path in above.iterdir() if path.is_dir()))
            raise FileNotFoundError(
                f"root {str(root)!r} does not exist. Working directory: {Path.cwd()}; "
                f"nearest existing folder: {above}.{near}"
            )
        folder = root / self._images.folder
        if not folder.is_dir():
            held = some(sorted(path.name for path in root.iterdir())) or "nothing"
            raise FileNotFoundError(
                f"{folder} does not exist; {root} holds {held}. Set images to the folder of the images within the root."
            )


def _labelled(roots: Sequence[str]) -> dict[str, Path]:
    if not roots:
        raise ValueError("root is an empty list; give one folder at least.")
    labelled: dict[str, Path] = {}
    for root in roots:
        path = Path(root)
        if path in labelled.values():
            raise ValueError(f"root names {root} twice.")
        labelled[distinct(path.absolute().name, labelled)] = path
    return labelled

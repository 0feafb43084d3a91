"""A domain in a folder of files."""

from pathlib import Path
from typing import get_args

import numpy as np

from datamodules.batch import IGNORE
from datamodules.domain import Domain, ImageArray, MaskArray, Split
from datamodules.names import nearest, read_list, some, split_names
from datamodules.reading import SUFFIXES, find_images, read_image, read_mask

_SPELLINGS = (*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES))


class FolderDomain(Domain):
    """Images and masks in a folder, a mask under its image's name.

    The lists ``train.txt``, ``val.txt`` and ``test.txt`` in the root say what is in the splits; a missing list is an
    empty split. Without any list the images that have masks are split 70 : 15 : 15 by the seed, and those that have
    none are for training.

    Args:
        root: the folder.
        images: its sub-folder of JPEG, PNG or NumPy files; they may lie in sub-folders of their own.
        masks: its sub-folder of PNGs of class ids. A target without one is the normal case.
        label_map: class ids to write for ids found in the masks; 255 = ignore. Ids not named stay as they are.
        split_seed: another seed gives another split. Without meaning where there are lists.
        value_range: the pixel values that become 0 and 1. Needed for 16-bit and float images.

    Raises:
        ValueError: if the label map or the value range is out of bounds.
    """

    def __init__(
        self,
        root: str,
        images: str = "images",
        masks: str = "masks",
        label_map: dict[int, int] | None = None,
        split_seed: int = 0,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        for key, value in (label_map or {}).items():
            if not (0 <= key <= IGNORE and 0 <= value <= IGNORE):
                raise ValueError(f"label_map maps {key} to {value}; class ids are 0 to 254, and 255 is ignore.")
        if value_range is not None and value_range[0] >= value_range[1]:
            raise ValueError(f"value_range is {list(value_range)}; the first value must be below the second.")
        self.root = Path(root)
        self.images = self.root / images
        self.masks = self.root / masks
        self.split_seed = split_seed
        self.value_range = value_range
        self._table = np.arange(256, dtype=np.uint8)
        for key, value in (label_map or {}).items():
            self._table[key] = value

    def names(self, split: Split) -> list[str]:
        """Returns the sorted names of a split: paths in the folder of images, without suffix.

        Raises:
            FileNotFoundError: if the root, its images or a listed image do not exist.
            ValueError: if two images have the same name.
        """
        found = self._find_images()
        lists = [name for name in get_args(Split) if (self.root / f"{name}.txt").is_file()]
        if split in lists:
            path = self.root / f"{split}.txt"
            listed = read_list(path)
            for name, line in listed.items():
                if name not in found:
                    raise FileNotFoundError(
                        f"{path}, line {line}: there is no image {name!r} in {self.images}.{nearest(name, found)}"
                    )
            for other in lists:
                twice = sorted(listed.keys() & read_list(self.root / f"{other}.txt").keys()) if other != split else []
                if twice:
                    raise ValueError(
                        f"{path} and {other}.txt both list {some(twice)}; an image belongs to one split, or the scores "
                        "are those of images that were trained on."
                    )
            return sorted(listed)
        if lists:
            return []
        labelled = [name for name in found if self.has_mask(name)]
        splits = split_names(labelled, self.split_seed)
        return sorted(found.keys() - {*splits["val"], *splits["test"]}) if split == "train" else splits[split]

    def has_mask(self, name: str) -> bool:
        """Tells whether the mask's file exists."""
        return self._mask_path(name).is_file()

    def read_image(self, name: str) -> ImageArray:
        """Reads an image as ``reading.read_image`` does."""
        return read_image(self.image_path(name), self.value_range)

    def read_mask(self, name: str) -> MaskArray:
        """Reads a mask as ``reading.read_mask`` does and maps its class ids."""
        path = self._mask_path(name)
        if not path.is_file():
            raise FileNotFoundError(f"image {name!r} has no mask: {path} does not exist.")
        mask: MaskArray = self._table[read_mask(path)]
        return mask

    def check_masks(self) -> None:
        """Raises ValueError if there are masks without an image."""
        if not self.masks.is_dir():
            return
        masks = {path.relative_to(self.masks).with_suffix("").as_posix() for path in self.masks.rglob("*.png")}
        orphans = sorted(masks - self._find_images().keys())
        if orphans:
            raise ValueError(
                f"masks without an image of the same name in {self.images}: {some(orphans)} (in {self.masks})."
            )

    def image_path(self, name: str) -> Path:
        """Returns the file of an image.

        Raises:
            FileNotFoundError: if there is none.
        """
        for suffix in _SPELLINGS:
            path = self.images / f"{name}{suffix}"
            if path.is_file():
                return path
        # Any other spelling, such as .Png, is looked for only now: listing a folder for every image would be slow.
        wanted = self.images / name
        for path in wanted.parent.iterdir() if wanted.parent.is_dir() else ():
            if path.suffix.lower() in SUFFIXES and path.with_suffix("").name == wanted.name:
                return path
        raise FileNotFoundError(f"there is no image {name!r} in {self.images}.")

    def _mask_path(self, name: str) -> Path:
        return self.masks / f"{name}.png"

    def _find_images(self) -> dict[str, Path]:
        if not self.root.is_dir():
            above = next(folder for folder in self.root.absolute().parents if folder.is_dir())
            near = nearest(self.root.name, (path.name for path in above.iterdir() if path.is_dir()))
            raise FileNotFoundError(
                f"root {str(self.root)!r} does not exist. Working directory: {Path.cwd()}; "
                f"nearest existing folder: {above}.{near}"
            )
        if not self.images.is_dir():
            held = some(sorted(path.name for path in self.root.iterdir())) or "nothing"
            raise FileNotFoundError(
                f"{self.images} does not exist; {self.root} holds {held}. Set images to the folder of the images "
                "within the root."
            )
        found = find_images(self.images)
        if not found:
            raise FileNotFoundError(f"no images in {self.images}: looked for {', '.join(SUFFIXES)}, in any case.")
        return found

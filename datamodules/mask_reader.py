"""Masks of a domain in the class ids of the run."""

from collections.abc import Mapping
from pathlib import Path

from datamodules.batch import DomainName
from datamodules.domain import Domain, IdArray, MaskArray
from datamodules.joined_domains import JoinedDomains
from datamodules.label_map import LabelMap


class MaskReader:
    """Reads masks of a domain and maps their ids.

    Args:
        domain: where the masks are.
        role: what the domain is, for errors.
        label_maps: the label map of each part of the domain; of the whole under an empty string.
    """

    def __init__(self, domain: Domain, role: DomainName, label_maps: Mapping[str, LabelMap]) -> None:
        self.domain = domain
        self.role = role
        self.label_maps = label_maps

    def __call__(self, name: str) -> MaskArray:
        """Returns a mask as (H, W) uint8 class ids, 255 = ignore.

        Raises:
            ValueError: if it holds an id that no class has.
        """
        return self.to_classes(self.read_ids(name), name)

    def read_ids(self, name: str) -> IdArray:
        """Returns a mask as (H, W) ids of the domain."""
        return self.domain.read_mask(name)

    def to_classes(self, ids: IdArray, name: str) -> MaskArray:
        """Maps the ids of an image's mask, or of a piece of it.

        Args:
            ids: (H, W) ids of the domain.
            name: the image.

        Returns:
            (H, W) uint8 class ids, 255 = ignore.

        Raises:
            ValueError: if an id has no class.
        """
        return self.label_maps[self.domain.part(name)](ids, f"{self.role} mask {name}")

    def file(self, name: str) -> Path | None:
        """Returns the file of an image's mask, or None if it is in none."""
        files = self.domain.files(name)
        return files[1] if len(files) > 1 else None

    def describe(self, part: str) -> str:
        """Returns all that decides the class ids of a part beside the files: a cache of what was counted needs it."""
        domain = self.domain.parts[part] if isinstance(self.domain, JoinedDomains) else self.domain
        return f"{domain.mask_encoding}\n{self.label_maps[part]!r}"

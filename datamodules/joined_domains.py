"""Several domains in one role."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from datamodules.domain import Domain, IdArray, ImageArray, Split
from datamodules.georeference import Georeference
from datamodules.names import Names, distinct


class JoinedDomains(Domain):
    """The images of several domains; a name begins with its domain's.

    Args:
        domains: the domains, two or more.

    Attributes:
        parts: the domains by name; a name that two have is numbered.
    """

    def __init__(self, domains: Sequence[Domain]) -> None:
        self.parts: dict[str, Domain] = {}
        for domain in domains:
            name = domain.name.replace("/", "_") or type(domain).__name__.lower()
            self.parts[distinct(name, self.parts)] = domain
        self.name = "+".join(self.parts)

    def names(self, split: Split) -> Names:
        """Returns the names of a split, domain by domain."""
        return Names(f"{part}/{name}" for part, domain in self.parts.items() for name in domain.names(split))

    def part(self, name: str) -> str:
        """Returns the name of the domain that an image is of."""
        return name.partition("/")[0]

    def has_mask(self, name: str) -> bool:
        """Tells whether a mask exists for an image."""
        domain, inside = self._of(name)
        return domain.has_mask(inside)

    def without_mask(self, names: Sequence[str]) -> list[str]:
        """Returns those of the images that have no mask."""
        lacking: list[str] = []
        for part, of_part in groupby(names, self.part):
            inside = [name.partition("/")[2] for name in of_part]
            lacking += [f"{part}/{name}" for name in self.parts[part].without_mask(inside)]
        return lacking

    def mask_place(self, name: str) -> str:
        """Returns where the mask of an image would have to be."""
        domain, inside = self._of(name)
        return domain.mask_place(inside)

    def read_image(self, name: str) -> ImageArray:
        """Reads one image as its domain does."""
        domain, inside = self._of(name)
        return domain.read_image(inside)

    def read_reduced(self, name: str, reduction: int) -> tuple[ImageArray, tuple[int, int]]:
        """Reads one image as its domain does, smaller where that is cheaper."""
        domain, inside = self._of(name)
        return domain.read_reduced(inside, reduction)

    def read_mask(self, name: str) -> IdArray:
        """Reads one mask as its domain does."""
        domain, inside = self._of(name)
        return domain.read_mask(inside)

    def group(self, name: str) -> str:
        """Returns what an image belongs to, with the name of its domain."""
        domain, inside = self._of(name)
        return f"{self.part(name)}/{domain.group(inside)}"

    def files(self, name: str) -> list[Path]:
        """Returns the files of an image and of its mask."""
        domain, inside = self._of(name)
        return domain.files(inside)

    def georeference(self, name: str) -> Georeference | None:
        """Returns where on earth an image lies."""
        domain, inside = self._of(name)
        return domain.georeference(inside)

    def check_masks(self) -> None:
        """Raises ValueError where masks and images do not belong together."""
        for domain in self.parts.values():
            domain.check_masks()

    def _of(self, name: str) -> tuple[Domain, str]:
        part, _, inside = name.partition("/")
        if part not in self.parts:
            raise KeyError(f"there is no image {name!r}; names begin with {' or '.join(self.parts)}.")
        return self.parts[part], inside

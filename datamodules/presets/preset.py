"""What the presets share."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar

from datamodules.folder_domain import FolderDomain
from datamodules.names import Names


class Preset(FolderDomain, ABC):
    """A known data set in its own layout.

    Classes of the data set that are no classes of the run are ignored, and what the user maps is mapped first.

    Args:
        root: the folder that the data set was unpacked into.
        label_map: what the ids or classes of the data set become, where it is not the class of the same name.
        layout: the other arguments of ``FolderDomain``.

    Attributes:
        withheld: the folder of the split whose labels are not public; masks in it are placeholders and count as none.
    """

    withheld: ClassVar[str] = ""

    def __init__(self, root: str, label_map: dict[int | str, int | str] | None, **layout: Any) -> None:  # noqa: ANN401 - FolderDomain says
        super().__init__(root, label_map={"*": "ignore", **(label_map or {})}, **layout)

    @property
    @abstractmethod
    def unpack(self) -> str:
        """What is to be unpacked where, for errors."""

    @cached_property
    def images(self) -> Names:
        """The names of all images, in ascending order.

        Raises:
            FileNotFoundError: if the root does not hold the layout; it says what to unpack where.
        """
        try:
            return super().images
        except FileNotFoundError as error:
            # What a preset's user can set is the root, not the folder of the images.
            found = str(error).partition(" Set images to")[0]
            raise FileNotFoundError(f"{found} {type(self).__name__}: {self.unpack}") from error

    def is_withheld(self, name: str) -> bool:
        """Tells whether an image is of the split whose labels are not public."""
        return self.withheld in name.split("/")

    def check_masks(self) -> None:
        """Passes: a benchmark's folders also hold masks of other images, and some that other programs put there."""

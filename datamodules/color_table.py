"""Class ids of colours."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_COLORS = 2**24


class ColorTable:
    """Looks up the class ids of RGB masks.

    Its table of all 2²⁴ colours, 16 MiB, is made when the first mask is looked up and never pickled: it is ten times as
    fast as a search among the colours.

    Args:
        colors: (red, green, blue) of each class, each in 0 to 255.
        ids: the id of each of these classes, 0 to 255.

    Raises:
        ValueError: if a colour is not three whole numbers in 0 to 255, if two classes share a colour, or if a class
            has no id.
    """

    def __init__(self, colors: Mapping[str, Sequence[int]], ids: Mapping[str, int]) -> None:
        self._ids: dict[int, int] = {}
        owners: dict[int, str] = {}
        for name, color in colors.items():
            if len(color) != 3 or any(value not in range(256) for value in color):
                raise ValueError(f"the colour of {name!r} is {list(color)}; it is red, green and blue, each 0 to 255.")
            if name not in ids:
                raise ValueError(f"{name!r} has a colour but is not a class; classes are {', '.join(ids)}.")
            if ids[name] not in range(256):
                raise ValueError(f"class {name!r} has the id {ids[name]}; ids of classes with colours are 0 to 255.")
            code = _code(color)
            if code in owners:
                raise ValueError(
                    f"classes {owners[code]!r} and {name!r} share the colour {list(color)}. Give each its own, or make "
                    "them one class."
                )
            owners[code] = name
            self._ids[code] = int(ids[name])
        free = set(range(256)) - set(self._ids.values())
        if not free:
            raise ValueError("there are 256 ids of classes with colours; there may be at most 255.")
        self._unknown = max(free)

    def __repr__(self) -> str:
        """Returns the ids by the code of their colour: all that decides what is looked up."""
        return f"ColorTable({sorted(self._ids.items())})"

    def __call__(self, image: NDArray[np.uint8], what: str) -> NDArray[np.uint8]:
        """Looks up every pixel.

        Args:
            image: (H, W, 3) in RGB order.
            what: names the mask in the error.

        Returns:
            (H, W) class ids.

        Raises:
            ValueError: if a colour is of no class.
        """
        # A view of BGR, as PNGs are read, is turned round here and not by a copy.
        turned = image.strides[2] < 0
        # Four bytes a pixel are read as one number, whose highest byte is the alpha that OpenCV adds.
        codes = (
            cv2.cvtColor(image[..., ::-1], cv2.COLOR_BGR2RGBA) if turned else cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
        ).view("<u4")[..., 0]
        codes &= _COLORS - 1
        ids: NDArray[np.uint8] = self._table.take(codes, mode="clip")  # no code is out of bounds: "clip" is the fastest
        unknown = codes[ids == self._unknown]
        if unknown.size:
            values, counts = np.unique(unknown, return_counts=True)
            most = int(values[counts.argmax()])
            raise ValueError(
                f"{what} holds the colour {[most & 255, most >> 8 & 255, most >> 16]}, which is of no class. "
                f"{unknown.size} of its {codes.size} pixels have colours of no class ({len(values)} different ones). "
                "Add them to colors."
            )
        return ids

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the large table out of pickles."""
        return {key: value for key, value in self.__dict__.items() if key != "_table"}

    @cached_property
    def _table(self) -> NDArray[np.uint8]:
        table = np.full(_COLORS, self._unknown, dtype=np.uint8)
        table[list(self._ids)] = list(self._ids.values())
        return table


def _code(color: Sequence[int]) -> int:
    red, green, blue = (int(value) for value in color)
    return red | green << 8 | blue << 16

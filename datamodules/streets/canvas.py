"""The picture plane: what each pixel shows and how far away it is, painted in metres."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.streets.palette import CLASS_IDS, DARK, Colour, scaled
from datamodules.streets.street import STREET

Point = tuple[float, float, float]

SKY_DEPTH = 1e5
CIRCLE = [(math.cos(turn * math.pi / 7), math.sin(turn * math.pi / 7)) for turn in range(14)]


class Canvas:
    """A camera above the ground, and what each pixel of its picture shows.

    Image and mask are both looked up from ``part``, so they agree in every pixel. Things are painted from far to
    near. Metres: x to the right of the camera, y above the ground, z ahead. Random draws never depend on the size,
    so neither does the street.

    Attributes:
        part: (H, W) int32, the part that each pixel shows; the lists below tell what a part is.
        depth: (H, W) float32 in metres.
        shade: (H, W) float32, 1 where the ground lies in shadow.
        class_ids: the class of each part.
        colours: the colour of each part.
        shaded: 1 for each part that faces away from the sun.
        glow: the light that each part gives in the dark.
    """

    def __init__(self, size: tuple[int, int], rng: np.random.Generator) -> None:
        self.rng = rng
        self.height, self.width = size
        self.focal = rng.uniform(*STREET.focal) * math.sqrt(self.height * self.width)
        self.horizon = rng.uniform(*STREET.horizon) * self.height
        self.vanishing = rng.uniform(*STREET.vanishing) * self.width
        self.camera_height = rng.uniform(*STREET.camera_height)
        self.part = np.zeros(size, np.int32)
        self.depth = np.full(size, SKY_DEPTH, np.float32)
        self.shade = np.zeros(size, np.float32)
        self.class_ids: list[int] = []
        self.colours: list[Colour] = []
        self.shaded: list[float] = []
        self.glow: list[Colour] = []
        self.noise = rng.random((64, 64), dtype=np.float32)

    def new_part(self, name: str, colour: Colour, shaded: float = 0.0, glow: Colour = DARK) -> int:
        """Registers a part of a thing of class ``name`` and returns its number."""
        self.class_ids.append(CLASS_IDS[name])
        self.colours.append(colour)
        self.shaded.append(shaded)
        self.glow.append(glow)
        return len(self.class_ids) - 1

    def pick(self, palette: Sequence[Colour], spread: float = 0.06) -> Colour:
        """Returns a colour near one of the palette's."""
        red, green, blue = palette[int(self.rng.integers(len(palette)))]
        tone = 1 + spread * (4 * self.rng.random() - 2)
        shift = (self.rng.random(3) - 0.5) * 2 * spread
        return scaled((red + shift[0], green + shift[1], blue + shift[2]), tone)

    def project(self, points: Sequence[Point]) -> list[tuple[float, float]]:
        """Projects points in metres to columns and rows."""
        projected = []
        for x, y, z in points:
            scale = self.focal / max(z, 0.8)
            projected.append((self.vanishing + x * scale, self.horizon - (y - self.camera_height) * scale))
        return projected

    def polygon(self, points: Sequence[Point], part: int) -> None:
        """Paints the convex polygon through points in metres, at their mean depth."""
        corners = self.corners(points)
        cv2.fillConvexPoly(self.part, corners, part, shift=4)
        cv2.fillConvexPoly(self.depth, corners, sum(point[2] for point in points) / len(points), shift=4)

    def corners(self, points: Sequence[Point]) -> NDArray[np.int32]:
        """Projects points to sixteenths of a pixel, counted from the first pixel's centre as OpenCV does."""
        return np.asarray([(16 * u - 8, 16 * v - 8) for u, v in self.project(points)], np.int32)

    def disc(self, centre: Point, radius: float, part: int, stretch: float = 1.0) -> None:
        """Paints an upright ellipse: ``radius`` wide, ``stretch`` times as high."""
        x, y, z = centre
        self.polygon([(x + radius * right, y + stretch * radius * up, z) for right, up in CIRCLE], part)

    def post(self, x: float, z: float, low: float, high: float, width: float, part: int) -> None:
        """Paints an upright bar, never thinner than one and a half pixels."""
        half = max(width, 1.5 * z / self.focal) / 2
        self.polygon([(x - half, low, z), (x - half, high, z), (x + half, high, z), (x + half, low, z)], part)

    def cast_shadow(self, left: float, right: float, near: float, far: float) -> None:
        """Shades a rectangle of the ground."""
        ends = [(left, 0.0, near), (right, 0.0, near), (right, 0.0, far), (left, 0.0, far)]
        cv2.fillConvexPoly(self.shade, self.corners(ends), 1.0, shift=4)

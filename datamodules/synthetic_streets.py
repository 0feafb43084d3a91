"""Small driving scenes that Segue draws itself: four looks of one kind of street, no files needed."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.domain import Domain, ImageArray, MaskArray, Split

LookName = Literal["simulator", "day", "dusk", "fog"]
Colour = tuple[float, float, float]
Point = tuple[float, float, float]
Range = tuple[float, float]
FloatArray = NDArray[np.float32]

# All constants of the scenes and of the looks stand above the classes; changing one changes every measured number.
# Class name -> its plain colour: looks with little variety paint whole classes in it.
CLASS_COLOURS: dict[str, Colour] = {
    "road": (0.36, 0.36, 0.40),
    "pavement": (0.66, 0.60, 0.58),
    "grass": (0.42, 0.68, 0.26),
    "building": (0.72, 0.50, 0.38),
    "sky": (0.52, 0.74, 0.96),
    "tree": (0.16, 0.48, 0.18),
    "car": (0.20, 0.32, 0.78),
    "person": (0.86, 0.30, 0.36),
    "sign": (0.94, 0.78, 0.12),
    "pole": (0.08, 0.32, 0.30),
}
CLASS_IDS = {name: number for number, name in enumerate(CLASS_COLOURS)}
FACADES: tuple[Colour, ...] = (
    (0.58, 0.32, 0.25),
    (0.80, 0.74, 0.62),
    (0.56, 0.56, 0.57),
    (0.74, 0.60, 0.40),
    (0.86, 0.85, 0.82),
    (0.46, 0.38, 0.32),
    (0.62, 0.66, 0.70),
)
PAINTS: tuple[Colour, ...] = (
    (0.88, 0.88, 0.88),
    (0.10, 0.10, 0.11),
    (0.60, 0.61, 0.63),
    (0.42, 0.12, 0.14),
    (0.14, 0.22, 0.46),
    (0.32, 0.34, 0.36),
)
LEAVES: tuple[Colour, ...] = ((0.20, 0.34, 0.14), (0.30, 0.40, 0.16), (0.14, 0.27, 0.13), (0.42, 0.40, 0.16))
TROUSERS: tuple[Colour, ...] = ((0.12, 0.14, 0.24), (0.08, 0.08, 0.09), (0.36, 0.32, 0.27), (0.30, 0.33, 0.40))
COATS: tuple[Colour, ...] = ((0.80, 0.16, 0.22), (0.90, 0.42, 0.12), (0.62, 0.20, 0.52), (0.86, 0.36, 0.42))
PLATES: tuple[Colour, ...] = ((0.94, 0.76, 0.08), (0.96, 0.86, 0.14), (0.94, 0.66, 0.08))
AWNINGS: tuple[Colour, ...] = ((0.45, 0.14, 0.13), (0.16, 0.26, 0.40), (0.20, 0.30, 0.22))
SKINS: tuple[Colour, ...] = ((0.85, 0.65, 0.52), (0.48, 0.33, 0.25), (0.70, 0.50, 0.38))
PANES: tuple[Colour, ...] = ((0.24, 0.29, 0.35), (0.40, 0.47, 0.54))
ROOFS: tuple[Colour, ...] = ((0.40, 0.24, 0.20), (0.30, 0.30, 0.32), (0.62, 0.58, 0.54))
SIGNALS: tuple[Colour, ...] = ((0.90, 0.10, 0.08), (0.95, 0.62, 0.10), (0.10, 0.85, 0.40))
BARK: Colour = (0.30, 0.23, 0.17)
METAL: Colour = (0.08, 0.30, 0.28)
PAINTED_LINE: Colour = (0.82, 0.82, 0.80)
KERB: Colour = (0.70, 0.69, 0.67)
PALE: Colour = (0.92, 0.92, 0.90)
BLACK: Colour = (0.06, 0.06, 0.06)
CAR_GLASS: Colour = (0.14, 0.17, 0.20)
DARK: Colour = (0.0, 0.0, 0.0)
LAMP: Colour = (1.0, 0.80, 0.50)
HEAD_LIGHT: Colour = (1.0, 0.96, 0.85)
TAIL_LIGHT: Colour = (0.90, 0.08, 0.06)


@dataclass(frozen=True)
class Street:
    """The ranges that scenes are drawn from, the same for every look. Lengths in metres."""

    focal: Range = (0.85, 1.10)  # of the geometric mean of height and width
    horizon: Range = (0.38, 0.52)  # of the height
    vanishing: Range = (0.34, 0.66)  # of the width
    camera_height: Range = (1.3, 1.9)
    road_half_width: Range = (2.6, 4.6)
    camera_offset: Range = (-1.2, 1.2)
    pavement_width: Range = (1.6, 3.2)
    setback: Range = (0.0, 6.0)
    lot_length: Range = (8.0, 22.0)
    open_lot: float = 0.35  # chance that a lot has no building
    building_height: Range = (5.0, 17.0)
    street_end: Range = (45.0, 80.0)
    side_street: float = 0.45  # chance
    side_street_depth: Range = (11.0, 32.0)
    tree_spacing: Range = (5.0, 14.0)
    crown_radius: Range = (1.1, 2.4)
    shadow_length: Range = (0.1, 0.6)  # of the height of what casts it
    cars: tuple[int, int] = (2, 7)
    persons: tuple[int, int] = (1, 5)
    signs: tuple[int, int] = (1, 3)
    lamp_spacing: Range = (12.0, 26.0)
    car_depth: Range = (5.0, 40.0)
    person_depth: Range = (3.6, 12.0)
    sign_depth: Range = (5.0, 13.0)


@dataclass(frozen=True)
class Look:
    """How a scene is lit and photographed.

    Brightness lies in [0, 1]. Lengths in pixels hold at 96 rows and grow with the image.

    Attributes:
        texture: strength of the grain of surfaces.
        shadow: share of the light that shaded surfaces lose.
        exposure: median factor on the brightness.
        exposure_spread: standard deviation of its logarithm over images.
        white_balance: standard deviation of the logarithm of each channel's gain over images.
        sky_top: sky colour at the top edge.
        sky_horizon: sky colour at the horizon.
        clouds: strength of clouds.
        visibility: depth in metres over which contrast falls to 1/e, the range over images.
        blur: standard deviation of the lens' blur in pixels.
        vignette: darkening of the corners.
        shot_noise: variance of the noise at brightness 1.
        read_noise: standard deviation of the noise in the dark.
        haze: colour that the distance fades to.
        tint: colour of the light.
        variety: 0 paints every class in its plain colour, 1 gives every thing its own.
        saturation: factor on the colourfulness of surfaces.
        lamps: brightness of lamps, head lights and lit windows.
        halo: share of that light scattered around them.
        head_light: light of the own car on the road.
    """

    texture: float
    shadow: float
    exposure: float
    exposure_spread: float
    white_balance: float
    sky_top: Colour
    sky_horizon: Colour
    clouds: float
    visibility: Range
    blur: float
    vignette: float
    shot_noise: float
    read_noise: float
    haze: Colour = (0.80, 0.84, 0.88)
    tint: Colour = (1.0, 1.0, 1.0)
    variety: float = 1.0
    saturation: float = 1.0
    lamps: float = 0.0
    halo: float = 0.0
    head_light: float = 0.0


STREET = Street()
LOOKS: dict[str, Look] = {
    "simulator": Look(
        variety=0.68,
        saturation=1.25,
        texture=0.1,
        shadow=0.25,
        exposure=1.0,
        exposure_spread=0.3,
        white_balance=0.07,
        sky_top=(0.36, 0.62, 0.98),
        sky_horizon=(0.78, 0.89, 1.0),
        clouds=0.0,
        visibility=(4000.0, 4000.0),
        blur=0.0,
        vignette=0.0,
        shot_noise=0.0,
        read_noise=0.0,
    ),
    "day": Look(
        texture=0.4,
        shadow=0.4,
        exposure=1.1,
        exposure_spread=0.16,
        white_balance=0.05,
        sky_top=(0.50, 0.66, 0.90),
        sky_horizon=(0.86, 0.90, 0.94),
        clouds=0.3,
        visibility=(900.0, 900.0),
        haze=(0.80, 0.84, 0.88),
        blur=0.4,
        vignette=0.25,
        shot_noise=0.0004,
        read_noise=0.007,
    ),
    "dusk": Look(
        texture=0.4,
        shadow=0.2,
        exposure=0.6,
        exposure_spread=0.18,
        tint=(0.93, 0.92, 1.08),
        white_balance=0.06,
        sky_top=(0.56, 0.66, 1.0),
        sky_horizon=(1.22, 1.04, 0.94),
        clouds=0.3,
        lamps=0.8,
        halo=0.5,
        head_light=0.4,
        visibility=(300.0, 500.0),
        haze=(0.70, 0.62, 0.66),
        blur=0.6,
        vignette=0.3,
        shot_noise=0.001,
        read_noise=0.011,
    ),
    "fog": Look(
        saturation=0.8,
        texture=0.35,
        shadow=0.1,
        exposure=0.95,
        exposure_spread=0.08,
        tint=(0.97, 1.0, 1.02),
        white_balance=0.03,
        sky_top=(0.72, 0.78, 0.86),
        sky_horizon=(0.80, 0.82, 0.84),
        clouds=0.1,
        lamps=0.15,
        halo=0.8,
        visibility=(40.0, 90.0),
        haze=(0.78, 0.80, 0.83),
        blur=0.6,
        vignette=0.15,
        shot_noise=0.0004,
        read_noise=0.007,
    ),
}
MINIMUM_SIZE = 32
SKY_DEPTH = 1e5
CIRCLE = [(math.cos(turn * math.pi / 7), math.sin(turn * math.pi / 7)) for turn in range(14)]


class SyntheticStreets(Domain):
    """Seeded driving scenes in one of four looks; looks and splits never show the same scene.

    Args:
        look: "simulator" (flat clean colours), "day", "dusk" or "fog".
        size: height and width in pixels, each at least 32. The same scenes are drawn at every size.
        train: number of training images.
        val: number of validation images.
        test: number of test images.
        seed: another seed gives other scenes; at least 0.
        foreground: one of the classes, to be told from all others: the classes are then ``background`` and this one.

    Raises:
        ValueError: if the look or the foreground is unknown, the size too small, or a number negative.
    """

    classes: Sequence[str] | None = tuple(CLASS_COLOURS)

    def __init__(
        self,
        look: LookName = "simulator",
        size: tuple[int, int] = (96, 128),
        train: int = 200,
        val: int = 40,
        test: int = 60,
        seed: int = 0,
        foreground: str | None = None,
    ) -> None:
        if look not in LOOKS:
            nearest = difflib.get_close_matches(str(look), LOOKS, n=1, cutoff=0.0)[0]
            raise ValueError(f'look is "{look}"; did you mean "{nearest}"? There are {", ".join(LOOKS)}.')
        if len(size) != 2 or min(size) < MINIMUM_SIZE:
            raise ValueError(f"size is {tuple(size)}; give height and width, each at least {MINIMUM_SIZE} pixels.")
        counts: dict[Split, int] = {"train": train, "val": val, "test": test}
        for name, number in (("train", train), ("val", val), ("test", test), ("seed", seed)):
            if number < 0:
                raise ValueError(f"{name} is {number}; give 0 or more.")
        if foreground is not None:
            if foreground not in CLASS_IDS:
                raise ValueError(f'foreground is "{foreground}"; the classes are {", ".join(CLASS_IDS)}.')
            self.classes = ("background", foreground)
        self.foreground = foreground
        self.look = look
        self.size = (int(size[0]), int(size[1]))
        self.counts = counts
        self.seed = seed

    def names(self, split: Split) -> list[str]:
        """Returns the names of the images in a split, such as "day_train_0007"."""
        return [self._name(split, index) for index in range(self.counts[split])]

    def has_mask(self, name: str) -> bool:
        """Tells that a mask exists: every scene has one.

        Raises:
            KeyError: if there is no such image.
        """
        self._seeds(name)
        return True

    def read_image(self, name: str) -> ImageArray:
        """Draws one image: (H, W, 3) uint8, RGB.

        Raises:
            KeyError: if there is no such image.
        """
        scene_seed, sensor_seed = self._seeds(name)
        scene = _Scene(self.size, np.random.default_rng(scene_seed))
        return _photograph(scene, LOOKS[self.look], np.random.default_rng(sensor_seed))

    def read_mask(self, name: str) -> MaskArray:
        """Draws one mask: (H, W) uint8 class ids, no pixel ignored.

        Raises:
            KeyError: if there is no such image.
        """
        scene = _Scene(self.size, np.random.default_rng(self._seeds(name)[0]))
        mask = np.asarray(scene.class_ids, dtype=np.uint8)[scene.part]
        return mask if self.foreground is None else (mask == CLASS_IDS[self.foreground]).astype(np.uint8)

    def _name(self, split: Split, index: int) -> str:
        return f"{self.look}_{split}_{index:04d}"

    def _seeds(self, name: str) -> list[np.random.SeedSequence]:
        """Returns the seeds of the scene and of the photograph behind a name."""
        for number, split in enumerate(get_args(Split)):
            tail = name.removeprefix(f"{self.look}_{split}_")
            if tail.isdecimal() and int(tail) < self.counts[split] and name == self._name(split, int(tail)):
                look = int.from_bytes(self.look.encode())
                return np.random.SeedSequence([self.seed, look, number, int(tail)]).spawn(2)
        held = ", ".join(f"{number} {split}" for split, number in self.counts.items())
        raise KeyError(f'no image "{name}" in SyntheticStreets(look="{self.look}"), which holds {held} images.')


class _Scene:
    """One street: which part of which thing each pixel shows, and how far away it is.

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

        offset = rng.uniform(*STREET.camera_offset)
        half_width = rng.uniform(*STREET.road_half_width)
        self.kerbs = (offset - half_width, offset + half_width)
        self.walls = (
            self.kerbs[0] - rng.uniform(*STREET.pavement_width),
            self.kerbs[1] + rng.uniform(*STREET.pavement_width),
        )
        self.end = rng.uniform(*STREET.street_end)
        crossing = rng.uniform(*STREET.side_street_depth) if rng.random() < STREET.side_street else SKY_DEPTH
        self.crossing = (crossing, crossing + rng.uniform(6.0, 9.0))
        self.sun = int(rng.integers(2))  # the side whose buildings stand between the sun and the street
        self.sun_length = rng.uniform(*STREET.shadow_length)

        self.new_part("sky", CLASS_COLOURS["sky"])
        self.draw_ground()
        self.things: list[tuple[float, partial[None]]] = []
        self.place_skyline()
        for side in (0, 1):
            self.place_lots(side)
            self.place_row(side)
        self.place_cars()
        self.place_persons()
        self.place_signs()
        for _, draw in sorted(self.things, key=lambda thing: -thing[0]):
            draw()

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
        return _scaled((red + shift[0], green + shift[1], blue + shift[2]), tone)

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

    def draw_ground(self) -> None:
        """Draws road, markings, pavement and what lies beyond it."""
        rng = self.rng
        first = min(max(math.ceil(self.horizon + 0.5), 0), self.height - 1)
        rows = np.arange(first, self.height, dtype=np.float32) + 0.5
        z = (self.focal * self.camera_height / (rows - self.horizon))[:, None]
        x = (np.arange(self.width, dtype=np.float32) + 0.5 - self.vanishing) * z / self.focal
        grey = rng.uniform(0.26, 0.44)
        road = self.new_part("road", (grey, grey, grey * rng.uniform(1.0, 1.08)))
        line = self.new_part("road", PAINTED_LINE)
        stone = rng.uniform(0.44, 0.64)
        pavement = self.new_part("pavement", (stone, stone * rng.uniform(0.90, 0.98), stone * rng.uniform(0.84, 0.96)))
        kerb = self.new_part("pavement", KERB)
        grass = self.new_part("grass", (rng.uniform(0.28, 0.44), rng.uniform(0.40, 0.52), 0.20))
        green = rng.random(2) < 0.8
        middle = (self.kerbs[0] + self.kerbs[1]) / 2
        dash, gap = rng.uniform(1.5, 4.0), rng.uniform(2.0, 5.0)
        zebra = rng.uniform(6.0, 14.0) if rng.random() < 0.3 else SKY_DEPTH

        across = (z > self.crossing[0]) & (z < self.crossing[1])
        on_road = ((x > self.kerbs[0]) & (x < self.kerbs[1])) | across
        painted = (abs(x - middle) < 0.09) & (z % (dash + gap) < dash) & ~across
        painted |= (z > zebra) & (z < zebra + 3.0) & (x % 1.1 < 0.55) & ~across
        beyond = np.where(x < middle, grass if green[0] else pavement, grass if green[1] else pavement)
        on_pavement = (x > self.walls[0]) & (x < self.walls[1])
        at_kerb = (x > self.kerbs[0] - 0.25) & (x < self.kerbs[1] + 0.25)
        self.part[first:] = np.select(
            [on_road & painted, on_road, at_kerb, on_pavement], [line, road, kerb, pavement], beyond
        )
        self.depth[first:] = z

    def place_skyline(self) -> None:
        """Closes the end of the street with far buildings and trees."""
        x = -0.8 * self.end
        while x < 0.8 * self.end:
            width = self.rng.uniform(8.0, 26.0)
            height = self.rng.uniform(5.0, 16.0)
            if self.rng.random() < 0.6:
                face = _Facade(self, height)
                self.things.append((self.end, partial(self.draw_front, face, x, x + width, self.end)))
            else:
                centre = (x + width / 2, height * 0.3, self.end)
                self.things.append((self.end, partial(self.draw_crown, centre, width * 0.75, height * 0.5)))
            x += width

    def place_lots(self, side: int) -> None:
        """Lines one side of the street with buildings and gardens."""
        rng = self.rng
        sign = 1 if side else -1
        z = rng.uniform(-6.0, 2.0)
        while z < self.end:
            start, stop = z, z + rng.uniform(*STREET.lot_length)
            z = stop + (rng.uniform(0.0, 4.0) if rng.random() < 0.3 else 0.0)
            if start < self.crossing[1] and stop > self.crossing[0]:
                z = self.crossing[1] + rng.uniform(0.5, 2.0)
                if self.crossing[0] - start < 4.0:
                    continue
                stop = self.crossing[0] - 0.5
            wall = self.walls[side] + sign * rng.uniform(*STREET.setback)
            if rng.random() < STREET.open_lot:
                for _ in range(int(rng.integers(1, 4))):
                    self.place_tree(wall + sign * rng.uniform(0.5, 9.0), rng.uniform(start, stop))
                continue
            height = rng.uniform(*STREET.building_height)
            face = _Facade(self, height, shaded=side == self.sun)
            far = wall + sign * rng.uniform(8.0, 14.0)
            if start > 2.5:
                self.things.append((start, partial(self.draw_front, face, min(wall, far), max(wall, far), start)))
            # What stands before a wall is nearer than the wall's far end.
            self.things.append((stop, partial(self.draw_side, face, wall, max(start, 1.2), stop)))
            if side == self.sun:
                reach = wall - sign * height * self.sun_length
                self.cast_shadow(wall, reach, max(start, 1.0), stop)

    def place_row(self, side: int) -> None:
        """Sets street trees or lamps along one kerb."""
        rng = self.rng
        sign = 1 if side else -1
        x = self.kerbs[side] + sign * 0.6
        planted = rng.random() < 0.5
        z = rng.uniform(4.0, 12.0)
        while z < 40.0:
            if not self.crossing[0] - 1 < z < self.crossing[1] + 1:
                if planted:
                    self.place_tree(x, z)
                else:
                    self.things.append((z, partial(self.draw_lamp, x, z, -sign, rng.uniform(4.5, 7.0))))
            z += rng.uniform(*(STREET.tree_spacing if planted else STREET.lamp_spacing))

    def place_tree(self, x: float, z: float) -> None:
        """Plants a tree or a bush."""
        if z < 3.5:
            return
        radius = self.rng.uniform(*STREET.crown_radius)
        bush = self.rng.random() < 0.2
        trunk = 0.0 if bush else self.rng.uniform(1.6, 3.0)
        centre = (x, trunk + radius * (0.5 if bush else 0.9), z)
        if not bush:
            bark = self.new_part("tree", self.pick((BARK,)))
            self.things.append((z + 0.02, partial(self.post, x, z, 0.0, centre[1], radius * 0.16, bark)))
        self.cast_shadow(x - radius, x + radius, z - 0.3, z + 0.5)
        stretch = self.rng.uniform(0.8, 1.4)
        self.things.append((z, partial(self.draw_crown, centre, radius, radius * (0.7 if bush else stretch))))

    def place_cars(self) -> None:
        """Puts cars at the kerbs, in the lanes and in the side street."""
        rng = self.rng
        middle = (self.kerbs[0] + self.kerbs[1]) / 2
        taken: list[tuple[float, float]] = []
        for _ in range(int(rng.integers(STREET.cars[0], STREET.cars[1] + 1))):
            side = int(rng.integers(2))
            sign = 1 if side else -1
            parked = rng.random() < 0.6
            x = self.kerbs[side] - sign * 1.15 if parked else (middle + self.kerbs[side]) / 2
            near, far = np.log(STREET.car_depth)
            z = float(np.exp(rng.uniform(near, far)))
            turned = self.crossing[0] < 40.0 and rng.random() < 0.2
            if turned:
                x, z = rng.uniform(-9.0, 9.0), self.crossing[0] + 2.0 + 2.0 * side
            if any(abs(x - other) < 2.2 and abs(z - distance) < 5.5 for other, distance in taken):
                continue
            taken.append((x, z))
            length, width = (1.7, 4.2) if turned else (rng.uniform(3.8, 4.6), 1.75)
            roof = rng.uniform(1.4, 1.9)
            self.cast_shadow(x - width / 2 - 0.2, x + width / 2 + 0.2, z - 0.2, z + length)
            self.things.append((z, partial(self.draw_car, x, z, width, length, roof, self.pick(PAINTS), side == 0)))

    def place_persons(self) -> None:
        """Puts persons on the pavements, and some on the road."""
        rng = self.rng
        for _ in range(int(rng.integers(STREET.persons[0], STREET.persons[1] + 1))):
            z = rng.uniform(*STREET.person_depth)
            side = int(rng.integers(2))
            low, high = sorted((self.kerbs[side], self.walls[side]))
            x = rng.uniform(*self.kerbs) if rng.random() < 0.2 else rng.uniform(low + 0.4, high - 0.3)
            tall = rng.uniform(1.15, 1.4) if rng.random() < 0.15 else rng.uniform(1.6, 1.92)
            self.cast_shadow(x - 0.35, x + 0.35, z - 0.1, z + 0.2)
            self.things.append((z, partial(self.draw_person, x, z, tall, rng.uniform(0.1, 0.5))))

    def place_signs(self) -> None:
        """Puts traffic signs and traffic lights at the kerbs."""
        rng = self.rng
        for _ in range(int(rng.integers(STREET.signs[0], STREET.signs[1] + 1))):
            side = int(rng.integers(2))
            x = self.kerbs[side] + (1 if side else -1) * rng.uniform(0.35, 0.8)
            z = rng.uniform(*STREET.sign_depth)
            self.things.append((z, partial(self.draw_sign, x, z, rng.uniform(2.1, 3.0), int(rng.integers(4)))))

    def draw_front(self, face: "_Facade", left: float, right: float, z: float) -> None:
        """Draws the wall between two x that faces the camera."""
        columns = self.columns(left, right, z, z)
        along = (columns + 0.5 - self.vanishing) * z / self.focal - left
        self.draw_wall(face, columns, np.full(len(columns), z), along, face.front)

    def draw_side(self, face: "_Facade", x: float, start: float, stop: float) -> None:
        """Draws the wall at one x that runs along the street."""
        columns = self.columns(x, x, start, stop)
        z = self.focal * x / (columns + 0.5 - self.vanishing)
        self.draw_wall(face, columns, z, z - start, face.side)

    def columns(self, left: float, right: float, start: float, stop: float) -> NDArray[np.int64]:
        """Returns the columns that lie between two points of the ground."""
        ends = sorted((self.vanishing + self.focal * left / start, self.vanishing + self.focal * right / stop))
        low, high = np.clip(np.ceil(np.asarray(ends) - 0.5), 0, self.width)
        return np.arange(int(low), int(high))

    def draw_wall(
        self,
        face: "_Facade",
        columns: NDArray[np.int64],
        z: NDArray[np.floating],
        along: NDArray[np.floating],
        parts: Sequence[int],
    ) -> None:
        """Draws a wall with its windows, given depth and place along the wall for each column."""
        if not len(columns):
            return
        top = self.horizon - self.focal * (face.height - self.camera_height) / z.min()
        bottom = self.horizon + self.focal * self.camera_height / z.min()
        first, last = int(np.clip(top, 0, self.height)), int(np.clip(bottom + 1, 0, self.height))
        rows = np.arange(first, last)[:, None] + 0.5
        y = self.camera_height + (self.horizon - rows) * z / self.focal
        storey, bay = y / face.storey, along / face.bay
        floor, number = storey.astype(np.int64), bay.astype(np.int64)
        up, across = storey - floor, bay - number
        window = (abs(up - 0.55) < face.window_height / 2) & (abs(across - 0.5) < face.window_width / 2)
        if face.shop:
            window = np.where(floor == 0, (up > 0.12) & (up < 0.78) & (abs(across - 0.5) < 0.45), window)
        lit = face.lit[floor % 8, number % 8]
        wall, glass, lamp, roof, shop = parts
        painted = np.where(window, np.where(lit, lamp, glass), wall)
        if face.shop:
            painted = np.where((floor == 0) & (up > 0.78), shop, painted)
        painted = np.where(y > face.height - face.cornice, roof, painted)
        inside = (y > 0) & (y < face.height)
        target = np.s_[first:last, columns[0] : columns[-1] + 1]
        self.part[target] = np.where(inside, painted, self.part[target])
        self.depth[target] = np.where(inside, z, self.depth[target])

    def draw_crown(self, centre: Point, radius: float, half_height: float) -> None:
        """Draws leaves within a ragged ellipse."""
        leaf = self.pick(LEAVES)
        parts = np.asarray([self.new_part("tree", _scaled(leaf, tone)) for tone in (0.6, 0.85, 1.1, 1.4)])
        turn = self.rng.integers(64, size=2)
        (column, row), z = self.project([centre])[0], centre[2]
        wide, high = 1.25 * radius * self.focal / z, 1.25 * half_height * self.focal / z
        left, right = int(np.clip(column - wide, 0, self.width)), int(np.clip(column + wide + 1, 0, self.width))
        first, last = int(np.clip(row - high, 0, self.height)), int(np.clip(row + high + 1, 0, self.height))
        if left >= right or first >= last:
            return
        u = 1.25 * (np.arange(left, right) + 0.5 - column) / wide
        v = 1.25 * (np.arange(first, last)[:, None] + 0.5 - row) / high
        coarse = self.noise[_cells(v * 3 + turn[0]), _cells(u * 3 + turn[1])]
        fine = self.noise[_cells(v * 9 + turn[1]), _cells(u * 9 + turn[0])]
        leaves = u**2 + v**2 < 0.55 + 0.6 * coarse + 0.4 * (fine - 0.5)
        tone = np.clip((1.1 - v - 0.6 * u * (1 if self.sun else -1) + 2.0 * (fine - 0.5)) * 1.5, 0, 3.99).astype(int)
        target = np.s_[first:last, left:right]
        self.part[target] = np.where(leaves, parts[tone], self.part[target])
        self.depth[target] = np.where(leaves, z, self.depth[target])

    def draw_lamp(self, x: float, z: float, sign: int, height: float) -> None:
        """Draws a street lamp whose arm reaches over the road."""
        metal = self.new_part("pole", self.pick((METAL,)))
        head = self.new_part("pole", PALE, glow=LAMP)
        self.post(x, z, 0.0, height, 0.26, metal)
        end = x + sign * 1.2
        half = max(0.10, 0.75 * z / self.focal)
        self.polygon(
            [(x, height - half, z), (x, height + half, z), (end, height + half, z), (end, height - half, z)], metal
        )
        self.disc((end, height - 0.05, z), 0.34, head, stretch=0.5)

    def draw_sign(self, x: float, z: float, height: float, shape: int) -> None:
        """Draws a traffic sign or a traffic light on its post."""
        metal = self.new_part("pole", self.pick((METAL,)))
        plate = self.new_part("sign", self.pick(PLATES))
        inner = self.new_part("sign", PALE)
        self.post(x, z, 0.0, height, 0.16, metal)
        if shape == 0:
            self.disc((x, height, z), 0.52, plate)
            self.disc((x, height, z), 0.28, inner)
        elif shape == 1:
            for half, part in ((0.62, plate), (0.30, inner)):
                self.polygon(
                    [(x - half, height - half * 0.8, z), (x, height + half, z), (x + half, height - half * 0.8, z)],
                    part,
                )
        elif shape == 2:
            self.post(x, z, height - 0.5, height + 0.45, 0.84, plate)
            self.post(x, z, height - 0.2, height + 0.15, 0.5, inner)
        else:
            self.post(x, z, height - 0.6, height + 0.6, 0.6, plate)
            on = int(self.rng.integers(3))
            for number, colour in enumerate(SIGNALS):
                shine = colour if number == on else DARK
                light = self.new_part("sign", colour if number == on else BLACK, glow=shine)
                self.disc((x, height + 0.36 * (1 - number), z), 0.15, light)

    def draw_person(self, x: float, z: float, tall: float, stride: float) -> None:
        """Draws a walking person."""
        coat = self.new_part("person", self.pick(COATS))
        legs = self.new_part("person", self.pick(TROUSERS))
        skin = self.new_part("person", self.pick(SKINS))
        hip, shoulder = 0.5 * tall, 0.84 * tall
        for foot in (-stride * 0.5, stride * 0.5):
            self.polygon(
                [(x - 0.14, hip, z), (x + 0.14, hip, z), (x + foot + 0.09, 0.0, z), (x + foot - 0.09, 0.0, z)], legs
            )
        for arm in (-1, 1):
            self.polygon([(x + arm * 0.2, shoulder, z), (x + arm * 0.32, hip, z), (x + arm * 0.2, hip, z)], coat)
        self.polygon(
            [(x - 0.17, hip * 0.92, z), (x - 0.25, shoulder, z), (x + 0.25, shoulder, z), (x + 0.17, hip * 0.92, z)],
            coat,
        )
        self.disc((x, 0.92 * tall, z), 0.075 * tall, skin, stretch=1.2)

    def draw_car(
        self,
        x: float,
        z: float,
        width: float,
        length: float,
        roof: float,
        paint: Colour,
        oncoming: bool,
    ) -> None:
        """Draws a car as a body, a cabin, wheels and lights; a turned one is wider than long."""
        turned = width > length
        body = self.new_part("car", paint)
        side_body = self.new_part("car", paint, shaded=0.6)
        top = self.new_part("car", _scaled(paint, 1.2))
        glass = self.new_part("car", CAR_GLASS)
        tyre = self.new_part("car", BLACK)
        left, right = x - width / 2, x + width / 2
        waist, floor = 0.55 * roof, 0.2
        inner_left, inner_right = left + 0.12 * width, right - 0.12 * width
        near, far = z + 0.14 * length, z + 0.82 * length
        face = left if x > 0 else right
        inner = inner_left if x > 0 else inner_right
        for end in (0.2, 0.8):
            front, back = z + (end - 0.09) * length, z + (end + 0.09) * length
            self.polygon([(face, 0.0, front), (face, 0.0, back), (face, 0.5, back), (face, 0.5, front)], tyre)
        self.polygon(
            [(face, floor, z), (face, waist, z), (face, waist, z + length), (face, floor, z + length)], side_body
        )
        self.polygon([(face, waist, near), (inner, roof, near), (inner, roof, far), (face, waist, far)], glass)
        self.polygon(
            [(left, waist, z), (right, waist, z), (inner_right, waist, z + length), (inner_left, waist, z + length)],
            top,
        )
        if not turned:
            for place in (0.1, 0.9):
                self.post(left + place * width, z, 0.0, 0.4, 0.24, tyre)
        self.polygon([(left, floor, z), (left, waist, z), (right, waist, z), (right, floor, z)], body)
        rear = [(left + 0.04, waist, z), (inner_left, roof, near), (inner_right, roof, near), (right - 0.04, waist, z)]
        self.polygon(rear, top)
        centre = [sum(values) / 4 for values in zip(*rear, strict=True)]
        self.polygon([(x + 0.82 * (u - x), 0.18 * centre[1] + 0.82 * v, w) for u, v, w in rear], glass)
        if turned:
            for place in (0.2, 0.8):
                self.disc((left + place * width, 0.33, z), 0.33, tyre)
            return
        colour = HEAD_LIGHT if oncoming else TAIL_LIGHT
        light = self.new_part("car", colour, glow=colour)
        for place in (left + 0.2, right - 0.2):
            self.post(place, z, waist - 0.28, waist - 0.08, 0.28, light)
        self.post(x, z, floor + 0.08, floor + 0.22, 0.5, self.new_part("car", PALE))


class _Facade:
    """The style of one building: its parts for the wall along the street and the wall that faces the camera."""

    def __init__(self, scene: _Scene, height: float, shaded: bool = False) -> None:
        rng = scene.rng
        self.height = height
        self.storey = rng.uniform(2.7, 3.6)
        self.bay = rng.uniform(1.8, 3.6)
        self.window_height = rng.uniform(0.35, 0.65)
        self.window_width = rng.uniform(0.30, 0.65)
        self.cornice = rng.uniform(0.2, 1.6)
        self.shop = rng.random() < 0.35
        self.lit = rng.random((8, 8)) < rng.uniform(0.05, 0.4)
        colour = scene.pick(FACADES)
        glass = scene.pick(PANES)
        roof = scene.pick(ROOFS)
        awning = scene.pick(AWNINGS)
        self.side, self.front = (
            [
                scene.new_part("building", colour, dark),
                scene.new_part("building", glass, dark),
                scene.new_part("building", glass, dark, glow=_scaled(LAMP, 0.6)),
                scene.new_part("building", roof, dark),
                scene.new_part("building", awning, dark),
            ]
            for dark in (1.0 if shaded else 0.0, 0.55)
        )


def _scaled(colour: Colour, tone: float) -> Colour:
    """Returns a colour lighter or darker by a factor, within what a surface can reflect."""
    red, green, blue = (min(max(channel * tone, 0.03), 0.97) for channel in colour)
    return red, green, blue


def _cells(place: NDArray[np.floating]) -> NDArray[np.int32]:
    """Returns the row or column of the noise table that a place falls in; the table repeats."""
    return np.asarray(np.floor(place).astype(np.int32) & 63)


def _photograph(scene: _Scene, look: Look, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lights a scene and takes its picture: (H, W, 3) uint8."""
    height, width = scene.part.shape
    pixel = height / 96
    plain = np.asarray(list(CLASS_COLOURS.values()), np.float32)[scene.class_ids]
    own = np.asarray(scene.colours, np.float32)
    colours = plain + look.variety * (own - plain)
    colours = np.clip(colours.mean(1, keepdims=True) * (1 - look.saturation) + look.saturation * colours, 0, 1)
    light = 1 - look.shadow * np.asarray(scene.shaded, np.float32)
    image: FloatArray = (colours * light[:, None])[scene.part]

    rows = np.arange(height, dtype=np.float32)[:, None] + 0.5
    columns = np.arange(width, dtype=np.float32) + 0.5
    depth = scene.depth
    x = (columns - scene.vanishing) * depth / scene.focal
    y = scene.camera_height + (scene.horizon - rows) * depth / scene.focal
    class_ids = np.asarray(scene.class_ids)[scene.part]
    sky = class_ids == CLASS_IDS["sky"]
    ground = class_ids <= CLASS_IDS["grass"]

    # The grain is fixed to the world, so that it shrinks with the distance as surfaces do.
    grain = np.zeros((height, width), np.float32)
    first, second = x + depth, y + 1.7 * depth - 0.6 * x
    for cell, strength in ((0.12, 0.5), (0.5, 0.4), (2.5, 0.5)):
        grain += strength * (scene.noise[_cells(first / cell), _cells(second / cell)] - 0.5)
    factor = 1 + look.texture * grain / (1 + depth / 60)
    factor *= 1 - look.shadow * scene.shade * ground
    factor += look.head_light * ground * np.exp(-((depth / 11 - 0.4) ** 2) - (x / 3) ** 2)
    image *= factor[..., None]

    exposure = look.exposure * math.exp(rng.normal(0, look.exposure_spread))
    gain = np.exp(rng.normal(0, look.white_balance, 3)).astype(np.float32)
    tint = np.asarray(look.tint, np.float32)
    share = np.clip(rows / scene.horizon, 0, 1)[..., None]
    heaven = np.asarray(look.sky_top) * (1 - share) + np.asarray(look.sky_horizon) * share
    cloud = cv2.GaussianBlur(cv2.resize(rng.random((6, 8), dtype=np.float32), (width, height)), (0, 0), 2 * pixel)
    heaven = heaven + look.clouds * np.clip(cloud - 0.4, 0, 1)[..., None]
    image = np.where(sky[..., None], heaven, image * tint).astype(np.float32)

    clear = np.exp(-depth / rng.uniform(*look.visibility))[..., None]
    clear = np.where(sky[..., None], 1, clear)  # its colours are those seen through the haze
    image = (image * clear + np.asarray(look.haze, np.float32) * (1 - clear)) * exposure
    if look.lamps:
        glow = look.lamps * np.asarray(scene.glow, np.float32)[scene.part] * clear
        image += glow + look.halo * 3 * cv2.GaussianBlur(glow, (0, 0), 4 * pixel)
    if look.blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), look.blur * pixel), np.float32)
    radius = ((rows / height - 0.5) ** 2 + (columns / width - 0.5) ** 2)[..., None]
    image = np.clip(image * gain * (1 - 2 * look.vignette * radius), 0, 1)
    if look.read_noise:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        image = image + noise * np.sqrt(look.shot_noise * image + look.read_noise**2)
    return np.asarray(np.clip(image * 255 + 0.5, 0, 255), np.uint8)

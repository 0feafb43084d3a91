"""Where things stand in one street."""

import math
from functools import partial

import numpy as np

from datamodules.streets.canvas import SKY_DEPTH
from datamodules.streets.palette import (
    BARK,
    CLASS_COLOURS,
    KERB,
    PAINTED_LINE,
    PAINTS,
)
from datamodules.streets.street import STREET
from datamodules.streets.things import Facade, Things


class Scene(Things):
    """One street: a seed decides its shape, and what stands where.

    Args:
        size: height and width in pixels.
        rng: decides everything; the size decides nothing but the resolution.
    """

    def __init__(self, size: tuple[int, int], rng: np.random.Generator) -> None:
        super().__init__(size, rng)
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
                face = Facade(self, height)
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
            face = Facade(self, height, shaded=side == self.sun)
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

"""What stands in a street, drawn on the canvas: houses, trees, lamps, signs, persons, cars."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from datamodules.streets.canvas import Canvas, Point
from datamodules.streets.palette import (
    AWNINGS,
    BLACK,
    CAR_GLASS,
    COATS,
    DARK,
    FACADES,
    HEAD_LIGHT,
    LAMP,
    LEAVES,
    METAL,
    PALE,
    PANES,
    PLATES,
    ROOFS,
    SIGNALS,
    SKINS,
    TAIL_LIGHT,
    TROUSERS,
    Colour,
    scaled,
)


class Things(Canvas):
    """A canvas that knows what things look like; each is drawn where it is told.

    Attributes:
        sun: the side whose houses stand between the sun and the street, 0 for the left; the scene sets it.
    """

    sun: int

    def draw_front(self, face: "Facade", left: float, right: float, z: float) -> None:
        """Draws the wall between two x that faces the camera."""
        columns = self.columns(left, right, z, z)
        along = (columns + 0.5 - self.vanishing) * z / self.focal - left
        self.draw_wall(face, columns, np.full(len(columns), z), along, face.front)

    def draw_side(self, face: "Facade", x: float, start: float, stop: float) -> None:
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
        face: "Facade",
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
        parts = np.asarray([self.new_part("tree", scaled(leaf, tone)) for tone in (0.6, 0.85, 1.1, 1.4)])
        turn = self.rng.integers(64, size=2)
        (column, row), z = self.project([centre])[0], centre[2]
        wide, high = 1.25 * radius * self.focal / z, 1.25 * half_height * self.focal / z
        left, right = int(np.clip(column - wide, 0, self.width)), int(np.clip(column + wide + 1, 0, self.width))
        first, last = int(np.clip(row - high, 0, self.height)), int(np.clip(row + high + 1, 0, self.height))
        if left >= right or first >= last:
            return
        u = 1.25 * (np.arange(left, right) + 0.5 - column) / wide
        v = 1.25 * (np.arange(first, last)[:, None] + 0.5 - row) / high
        coarse = self.noise[cells(v * 3 + turn[0]), cells(u * 3 + turn[1])]
        fine = self.noise[cells(v * 9 + turn[1]), cells(u * 9 + turn[0])]
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
        top = self.new_part("car", scaled(paint, 1.2))
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


class Facade:
    """The style of one building: its parts for the wall along the street and the wall that faces the camera."""

    def __init__(self, canvas: Canvas, height: float, shaded: bool = False) -> None:
        rng = canvas.rng
        self.height = height
        self.storey = rng.uniform(2.7, 3.6)
        self.bay = rng.uniform(1.8, 3.6)
        self.window_height = rng.uniform(0.35, 0.65)
        self.window_width = rng.uniform(0.30, 0.65)
        self.cornice = rng.uniform(0.2, 1.6)
        self.shop = rng.random() < 0.35
        self.lit = rng.random((8, 8)) < rng.uniform(0.05, 0.4)
        colour = canvas.pick(FACADES)
        glass = canvas.pick(PANES)
        roof = canvas.pick(ROOFS)
        awning = canvas.pick(AWNINGS)
        self.side, self.front = (
            [
                canvas.new_part("building", colour, dark),
                canvas.new_part("building", glass, dark),
                canvas.new_part("building", glass, dark, glow=scaled(LAMP, 0.6)),
                canvas.new_part("building", roof, dark),
                canvas.new_part("building", awning, dark),
            ]
            for dark in (1.0 if shaded else 0.0, 0.55)
        )


def cells(place: NDArray[np.floating]) -> NDArray[np.int32]:
    """Returns the row or column of the noise table that a place falls in; the table repeats."""
    return np.asarray(np.floor(place).astype(np.int32) & 63)

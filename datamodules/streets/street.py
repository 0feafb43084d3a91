"""What every street is drawn from."""

from dataclasses import dataclass

Range = tuple[float, float]


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


STREET = Street()

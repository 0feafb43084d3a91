"""The classes of the streets and the colours of their things."""

Colour = tuple[float, float, float]

# Changing a constant here, of the scenes or of the looks changes every measured number.
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


def scaled(colour: Colour, tone: float) -> Colour:
    """Returns a colour lighter or darker by a factor, within what a surface can reflect."""
    red, green, blue = (min(max(channel * tone, 0.03), 0.97) for channel in colour)
    return red, green, blue

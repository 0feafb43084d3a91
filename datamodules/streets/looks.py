"""The four looks: how a scene is lit and photographed."""

from dataclasses import dataclass
from typing import Literal

from datamodules.streets.palette import Colour

LookName = Literal["simulator", "day", "dusk", "fog"]


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
    visibility: tuple[float, float]
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

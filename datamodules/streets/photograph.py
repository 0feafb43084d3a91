"""The camera: light, weather, lens and noise of a look."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.streets.looks import Look
from datamodules.streets.palette import (
    CLASS_COLOURS,
    CLASS_IDS,
)
from datamodules.streets.scene import Scene
from datamodules.streets.things import cells

FloatArray = NDArray[np.float32]


def photograph(scene: Scene, look: Look, rng: np.random.Generator) -> NDArray[np.uint8]:
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
        grain += strength * (scene.noise[cells(first / cell), cells(second / cell)] - 0.5)
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

"""Masks made visible: class colours, overlays and panels of pictures with a legend."""

import colorsys
import zlib
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from datamodules.batch import IGNORE
from datamodules.domain import ImageArray, MaskArray

Color = tuple[int, int, int]
"""Red, green, blue in 0–255."""
RGBArray = NDArray[np.uint8]
"""(H, W, 3) in RGB order."""

IGNORE_COLOR: Color = (0, 0, 0)

# Cityscapes' colours, which readers of driving pictures know by heart, under the names that data sets give the classes.
_KNOWN_COLORS: dict[Color, Sequence[str]] = {
    (128, 64, 128): ("road", "street", "drivable"),
    (244, 35, 232): ("sidewalk", "pavement", "footpath"),
    (70, 70, 70): ("building", "house"),
    (102, 102, 156): ("wall",),
    (190, 153, 153): ("fence", "barrier"),
    (153, 153, 153): ("pole", "columnpole"),
    (250, 170, 30): ("trafficlight", "light"),
    (220, 220, 0): ("trafficsign", "sign", "signsymbol"),
    (107, 142, 35): ("vegetation", "tree", "trees"),
    (152, 251, 152): ("terrain", "grass"),
    (70, 130, 180): ("sky",),
    (220, 20, 60): ("person", "pedestrian", "people"),
    (255, 0, 0): ("rider",),
    (0, 0, 142): ("car", "vehicle"),
    (0, 0, 70): ("truck",),
    (0, 60, 100): ("bus",),
    (0, 80, 100): ("train", "tram"),
    (0, 0, 230): ("motorcycle", "motorbike"),
    (119, 11, 32): ("bicycle", "bike", "bicyclist", "cyclist"),
    (48, 48, 48): ("background", "other"),
}
_COLOR_OF_NAME = {name: color for color, names in _KNOWN_COLORS.items() for name in names}


def class_colors(classes: Sequence[str]) -> list[Color]:
    """Gives every class a colour of its own.

    Driving classes have their Cityscapes colours; any other name has a colour drawn from the name, so that a class
    looks the same in every list, and moved on only where it would be too near to another colour of the list.

    Args:
        classes: class names, class id = position.

    Returns:
        One (red, green, blue) a class, all different, none of them the black of ignored pixels.
    """
    colors: dict[int, Color] = {}
    for class_id, name in enumerate(classes):
        color = _COLOR_OF_NAME.get("".join(character for character in name.lower() if character.isalnum()))
        if color is not None and color not in colors.values():
            colors[class_id] = color
    palette = _golden_palette()
    distance = np.min([_color_distance(palette, color) for color in (IGNORE_COLOR, *colors.values())], axis=0)
    for class_id, name in enumerate(classes):
        if class_id not in colors:
            start = zlib.crc32(name.lower().encode()) % 240  # in the two brightest tones
            # 60 tells two colours apart at a glance; with many classes less must do: half of the best there is.
            far_enough = np.roll(distance >= min(60.0, 0.5 * distance.max()), -start)
            red, green, blue = palette[(start + np.argmax(far_enough)) % len(palette)].tolist()
            colors[class_id] = (red, green, blue)
            distance = np.minimum(distance, _color_distance(palette, colors[class_id]))
    return [colors[class_id] for class_id in range(len(classes))]


def _golden_palette() -> NDArray[np.int64]:
    """(1080, 3) colours whose hues walk round the circle by the golden angle, in nine tones."""
    tones = [(saturation, value) for value in (0.95, 0.7, 0.45) for saturation in (0.85, 0.55, 0.3)]
    colors = [colorsys.hsv_to_rgb(index * 0.381966 % 1, *tones[index // 120]) for index in range(120 * len(tones))]
    return np.array([[round(255 * channel) for channel in color] for color in colors])


def _color_distance(palette: NDArray[np.int64], color: Color) -> NDArray[np.float64]:
    """Distances (N,) of a colour from a palette, each channel weighed by how well the eye tells its shades apart."""
    weighted = (palette - np.array(color)) ** 2 @ np.array([0.9, 1.5, 0.6])
    distance: NDArray[np.float64] = np.sqrt(weighted)
    return distance


def colorize(mask: MaskArray, colors: Sequence[Color]) -> RGBArray:
    """Paints a mask in the colours of its classes, ignored pixels black.

    Args:
        mask: (H, W) uint8 class ids, 255 = ignore.
        colors: one colour a class.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: if a class id has no colour.
    """
    strange = (mask >= len(colors)) & (mask != IGNORE)
    if strange.any():
        raise ValueError(
            f"the mask holds class id {mask[strange].max()}, but there are colours for 0–{len(colors) - 1} and "
            f"{IGNORE} (ignore) only; give the colours of all classes."
        )
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(colors)] = colors
    table[IGNORE] = IGNORE_COLOR
    return table[mask]


def to_rgb(image: ImageArray) -> RGBArray:
    """Makes any image fit to look at.

    Args:
        image: (H, W, C); uint8, floating-point in [0, 1], or other numbers, which are stretched from their smallest
            to their largest. Of four and more channels the first three are shown, of one or two the first, as grey.

    Returns:
        (H, W, 3) uint8.
    """
    shown = image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)
    if shown.dtype == np.uint8:
        return np.ascontiguousarray(shown)
    shown = np.nan_to_num(shown.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(shown.min()), float(shown.max())
    if not np.issubdtype(image.dtype, np.floating) or low < 0 or high > 1:
        shown = (shown - low) / max(high - low, 1e-6)
    return np.rint(shown * 255).astype(np.uint8)


def overlay(image: ImageArray, mask: MaskArray, colors: Sequence[Color], alpha: float = 0.5) -> RGBArray:
    """Lays the colours of a mask over its image; ignored pixels show the image alone.

    Args:
        image: (H, W, C), shown as by :func:`to_rgb`.
        mask: (H, W) uint8 class ids, 255 = ignore.
        colors: one colour a class.
        alpha: share of the colour, from 0 (only the image) to 1 (only the mask).

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: if image and mask differ in size, a class id has no colour, or alpha is outside [0, 1].
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f"the image is {image.shape[:2]} and its mask {mask.shape}; an overlay needs one size.")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; give 0 (only the image) to 1 (only the mask).")
    rgb, painted = to_rgb(image), colorize(mask, colors)
    ignored = mask == IGNORE
    painted[ignored] = rgb[ignored]
    return np.asarray(Image.blend(Image.fromarray(rgb), Image.fromarray(painted), alpha))


def difference(image: ImageArray, truth: MaskArray, prediction: MaskArray, colors: Sequence[Color]) -> RGBArray:
    """Shows where a prediction is wrong, and what it says there.

    Args:
        image: (H, W, C), shown as by :func:`to_rgb`.
        truth: (H, W) uint8 class ids, 255 = ignore.
        prediction: (H, W) uint8 class ids.
        colors: one colour a class.

    Returns:
        (H, W, 3) uint8: the image, faint and grey, where the prediction is right; the colour of the predicted class
        where it is wrong; black where the truth is ignored.
    """
    grey = to_rgb(image).mean(axis=2, keepdims=True, dtype=np.float32)
    shown = np.repeat(255 - _FAINT * (255 - grey), 3, axis=2).astype(np.uint8)
    wrong = prediction != truth
    shown[wrong] = colorize(prediction, colors)[wrong]
    shown[truth == IGNORE] = IGNORE_COLOR
    return shown


def paint_map(values: NDArray[np.floating[Any]]) -> RGBArray:
    """Paints a map of numbers from dark (0) to bright (1), in colours in which equal steps look equal.

    Args:
        values: (H, W) in [0, 1].

    Returns:
        (H, W, 3) uint8.
    """
    from matplotlib import colormaps  # which takes a while, and most commands paint none

    colored: RGBArray = colormaps["viridis"](np.clip(values, 0, 1), bytes=True)[..., :3]
    return colored


_FAINT = 0.35
"""Share of the image in what is right."""
TILE_HEIGHT = 240
"""Height of the pictures in a panel, in pixels."""
_GAP = 10
_FONT_SIZE = 18


def panel(
    rows: Sequence[Sequence[NDArray[Any]]],
    titles: Sequence[str],
    classes: Sequence[str],
    colors: Sequence[Color],
    row_labels: Sequence[str] | None = None,
) -> Image.Image:
    """Arranges images, masks and maps in a grid, titles above the columns and the legend of the classes below.

    Args:
        rows: the pictures of each row: an image (H, W, C), a mask (H, W) of uint8 class ids, or a map (H, W) of
            floats in [0, 1]; at least one row. All are brought to one height.
        titles: one title a column.
        classes: class names; the legend has those that occur in the masks.
        colors: one colour a class.
        row_labels: one label a row, written upright on the left; none by default. Of one that is too long the end is
            shown.

    Returns:
        An RGB picture.

    Raises:
        ValueError: if there is no row, or the number of pictures, titles, labels or colours does not fit.
    """
    if not rows or any(len(row) != len(titles) for row in rows):
        raise ValueError(
            f"there are {len(titles)} titles for rows of {[len(row) for row in rows]} pictures; "
            "give at least one row, and one title a picture."
        )
    if row_labels is not None and len(row_labels) != len(rows):
        raise ValueError(f"there are {len(row_labels)} row labels for {len(rows)} rows; give one a row.")
    if len(colors) != len(classes):
        raise ValueError(f"there are {len(colors)} colours for {len(classes)} classes; give class_colors(classes).")

    font = ImageFont.load_default(size=_FONT_SIZE)
    line = _FONT_SIZE + _GAP
    tiles = [[_tile(picture, colors) for picture in row] for row in rows]
    widths = [
        max(round(font.getlength(title)), *(row[column].width for row in tiles)) for column, title in enumerate(titles)
    ]
    left = _GAP + (line if row_labels is not None else 0)
    legend = [_legend_entry(name, swatch, font) for name, swatch in _legend(rows, titles, classes, colors)]
    width = max(left + sum(widths) + _GAP * len(widths), *(2 * _GAP + entry.width for entry in legend), 0)
    places: list[tuple[int, int]] = []
    across, down = _GAP, _GAP + line + len(rows) * (TILE_HEIGHT + _GAP)
    for entry in legend:
        if across + entry.width + _GAP > width:
            across, down = _GAP, down + line
        places.append((across, down))
        across += entry.width + 2 * _GAP

    picture = Image.new("RGB", (width, down + line if legend else down), "white")
    draw = ImageDraw.Draw(picture)
    for column, title in enumerate(titles):
        draw.text((left + sum(widths[:column]) + _GAP * column, _GAP), title, fill="black", font=font)
    for row_index, (row, label) in enumerate(zip_longest(tiles, row_labels or [])):
        top = _GAP + line + row_index * (TILE_HEIGHT + _GAP)
        for column, tile in enumerate(row):
            picture.paste(tile, (left + sum(widths[:column]) + _GAP * column, top))
        if label:
            upright = Image.new("RGB", (TILE_HEIGHT, line), "white")
            shown = _shortened(label, TILE_HEIGHT, font)
            ImageDraw.Draw(upright).text((TILE_HEIGHT // 2, 0), shown, fill="black", font=font, anchor="ma")
            picture.paste(upright.rotate(90, expand=True), (_GAP, top))
    for place, entry in zip(places, legend, strict=True):
        picture.paste(entry, place)
    return picture


def paint(picture: NDArray[Any], colors: Sequence[Color]) -> RGBArray:
    """Makes any picture of a panel fit to look at.

    Args:
        picture: an image (H, W, C), a mask (H, W) of uint8 class ids, or a map (H, W) of floats in [0, 1].
        colors: one colour a class.

    Returns:
        (H, W, 3) uint8.
    """
    if picture.ndim == 3:
        return to_rgb(picture)
    return colorize(picture, colors) if _is_mask(picture) else paint_map(picture)


def _is_mask(picture: NDArray[Any]) -> bool:
    return picture.ndim == 2 and not _is_map(picture)


def _is_map(picture: NDArray[Any]) -> bool:
    return picture.ndim == 2 and np.issubdtype(picture.dtype, np.floating)


def _tile(picture: NDArray[Any], colors: Sequence[Color]) -> Image.Image:
    image = Image.fromarray(paint(picture, colors))
    size = (max(1, round(image.width * TILE_HEIGHT / image.height)), TILE_HEIGHT)
    return image.resize(size, Image.Resampling.NEAREST if _is_mask(picture) else Image.Resampling.LANCZOS)


def _legend(
    rows: Sequence[Sequence[NDArray[Any]]], titles: Sequence[str], classes: Sequence[str], colors: Sequence[Color]
) -> Iterator[tuple[str, RGBArray]]:
    """Yields what the colours mean, and a swatch of them."""
    present = {int(class_id) for row in rows for picture in row if _is_mask(picture) for class_id in np.unique(picture)}
    meanings = [(classes[class_id], colors[class_id]) for class_id in sorted(present - {IGNORE})]
    for name, color in [*meanings, *([("ignore", IGNORE_COLOR)] if IGNORE in present else [])]:
        yield name, np.full((_FONT_SIZE, _FONT_SIZE, 3), color, dtype=np.uint8)
    maps = [
        title for title, picture in zip(titles, rows[0], strict=True) if picture.ndim == 2 and not _is_mask(picture)
    ]
    if maps:
        yield f"{', '.join(maps)} from 0 to 1", paint_map(np.linspace([0.0] * _FONT_SIZE, 1, 5 * _FONT_SIZE).T)


def _legend_entry(name: str, swatch: RGBArray, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    height, width = swatch.shape[:2]
    across = width + _GAP // 2 + 2
    # Letters such as g reach below the swatch.
    entry = Image.new("RGB", (across + round(font.getlength(name)), height + _GAP // 2), "white")
    entry.paste(Image.fromarray(swatch), (0, 0))
    draw = ImageDraw.Draw(entry)
    draw.rectangle((0, 0, width, height), outline="black")
    draw.text((across, height // 2), name, fill="black", font=font, anchor="lm")
    return entry


def _shortened(text: str, length: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Leaves out the beginning, since the names of a folder's files differ at the end."""
    shown = text
    while len(shown) > 2 and font.getlength(shown) > length:
        shown = f"…{shown[2:]}"
    return shown

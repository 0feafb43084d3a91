"""Tiny trees in the layouts of the benchmarks, with files in them that are neither image nor mask of a preset."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 16, 24


def write_image(path: Path) -> None:
    """Writes noise, another for every path."""
    pixels = np.random.default_rng(list(path.name.encode())).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def stripes(values: Sequence[int]) -> NDArray[np.uint8]:
    """(H, W): the values side by side, one pixel each; the last one fills what is left."""
    row = np.full(WIDTH, values[-1], np.uint8)
    row[: len(values)] = values
    return np.tile(row, (HEIGHT, 1))


def write_mask(path: Path, ids: Sequence[int]) -> None:
    """Writes an 8-bit mask of ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), stripes(ids))


def write_palette_mask(path: Path, ids: Sequence[int]) -> None:
    """Writes a palette PNG; its colours are no ids, so that a mask read as a grey image shows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(stripes(ids), mode="P")
    picture.putpalette([(37 * i + 90) % 256 for i in range(768)])
    picture.save(path)


def write_color_mask(path: Path, colors: Sequence[tuple[int, int, int]]) -> None:
    """Writes an RGB mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([stripes(channel) for channel in zip(*colors, strict=True)], axis=-1)).save(path)


def write_red_mask(path: Path, ids: Sequence[int]) -> None:
    """Writes a 16-bit PNG with the ids in red and the number of a thing in green."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint16)
    pixels[..., 2], pixels[..., 1] = stripes(ids), 3000  # OpenCV writes blue, green, red
    assert cv2.imwrite(str(path), pixels)


def make_cityscapes(root: Path) -> None:
    """Two cities for training, one for validation, one for test; masks of the ids 0 to 23, and of 3 in the test."""
    for split, city in (("train", "aachen"), ("train", "zurich"), ("val", "lindau"), ("test", "berlin")):
        stem = f"{split}/{city}/{city}_000000_000019"
        write_image(root / f"leftImg8bit/{stem}_leftImg8bit.png")
        write_mask(root / f"gtFine/{stem}_gtFine_labelIds.png", [3] if split == "test" else range(24))
        for other in ("color", "instanceIds", "labelTrainIds"):
            write_image(root / f"gtFine/{stem}_gtFine_{other}.png")
        (root / f"gtFine/{stem}_gtFine_polygons.json").write_text("{}")
    write_image(root / "leftImg8bit/train_extra/bayreuth/bayreuth_000000_000019_leftImg8bit.png")
    (root / "README").write_text("")


def make_acdc(root: Path) -> None:
    """An image of each condition and split, with its reference; masks of the ids 7 to 30."""
    for condition in ("fog", "night", "rain", "snow"):
        for split in ("train", "val", "test"):
            write_image(root / f"rgb_anon/{condition}/{split}/GOPR0475/GOPR0475_frame_000041_rgb_anon.png")
            write_image(root / f"rgb_anon/{condition}/{split}_ref/GOPR0475/GOPR0475_frame_000041_rgb_ref_anon.png")
            if split == "test":
                continue
            stem = f"gt/{condition}/{split}/GOPR0475/GOPR0475_frame_000041_gt"
            write_mask(root / f"{stem}_labelIds.png", range(7, 31))
            for other in ("invIds", "labelColor", "labelTrainIds"):
                write_image(root / f"{stem}_{other}.png")


def make_dark_zurich(root: Path) -> None:
    """Two images of each time for training, one for validation and one for test by night; a mask of the ids 7 to 30."""
    for time, drive in (("night", "GOPR0351"), ("twilight", "GOPR0345"), ("day", "GOPR0333")):
        for frame in (1, 31):
            write_image(root / f"rgb_anon/train/{time}/{drive}/{drive}_frame_{frame:06d}_rgb_anon.png")
    for split, drive in (("val", "GOPR0356"), ("test", "GOPR0364")):
        write_image(root / f"rgb_anon/{split}/night/{drive}/{drive}_frame_000321_rgb_anon.png")
        write_image(root / f"rgb_anon/{split}_ref/day/{drive}_ref/{drive}_frame_000321_ref_rgb_anon.png")
    stem = "gt/val/night/GOPR0356/GOPR0356_frame_000321_gt"
    write_mask(root / f"{stem}_labelIds.png", range(7, 31))
    for other in ("invGray", "invIds", "labelColor", "labelTrainIds"):
        write_image(root / f"{stem}_{other}.png")
    (root / "corresp/train/night").mkdir(parents=True)


def make_gta5(root: Path, count: int = 10) -> None:
    """Images with palette masks of the ids 11 to 34, and what the preparation of other programs leaves."""
    for number in range(1, count + 1):
        write_image(root / f"images/{number:05d}.png")
        write_palette_mask(root / f"labels/{number:05d}.png", range(11, 35))
        write_mask(root / f"labels/{number:05d}_labelTrainIds.png", [255])
    (root / "sample_class_stats.json").write_text("{}")
    (root / "split.mat").write_bytes(b"MATLAB 5.0")


def make_synthia(root: Path, count: int = 10) -> None:
    """Images with 16-bit masks of the ids 0 to 22 in red, with coloured masks and depths beside."""
    for number in range(count):
        write_image(root / f"RGB/{number:07d}.png")
        write_red_mask(root / f"GT/LABELS/{number:07d}.png", range(23))
        write_mask(root / f"GT/LABELS/{number:07d}_labelTrainIds.png", [255])
        write_image(root / f"GT/COLOR/{number:07d}.png")
        write_image(root / f"Depth/Depth/{number:07d}.png")
    (root / "README.txt").write_text("")


def make_loveda(root: Path) -> None:
    """An image of each scene and split; masks of the ids 0 to 7, and one in the test, as some copies have it."""
    for number, (split, scene) in enumerate((s, c) for s in ("Train", "Val", "Test") for c in ("Rural", "Urban")):
        write_image(root / f"{split}/{scene}/images_png/{number}.png")
        if (split, scene) != ("Test", "Rural"):
            write_mask(root / f"{split}/{scene}/masks_png/{number}.png", [0] if split == "Test" else range(8))
    (root / "Train.zip").write_bytes(b"")

"""A folder of images and masks to read, drawn by Segue itself."""

from pathlib import Path

import cv2

from datamodules.synthetic_streets import SyntheticStreets


def write_image_folder(folder: Path, size: tuple[int, int], count: int, suffix: str) -> None:
    """Writes streets by day as ``images/`` and ``masks/``, as ``FolderDomain`` reads them.

    Args:
        folder: where to write; made when missing.
        size: height and width in pixels, each at least 32.
        count: number of images, all of them for training.
        suffix: of the images, ``.jpg`` or ``.png``; masks are PNGs.
    """
    domain = SyntheticStreets(look="day", size=size, train=count, val=1, test=0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for split in ("train", "val"):
        names = domain.names(split)
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            image = cv2.cvtColor(domain.read_image(name), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / "images" / f"{name}{suffix}"), image)
            cv2.imwrite(str(folder / "masks" / f"{name}.png"), domain.read_mask(name))

"""Small driving scenes that Segue draws itself: four looks of one kind of street, no files needed."""

import difflib
from collections.abc import Sequence
from typing import get_args

import numpy as np

from datamodules.domain import Domain, ImageArray, MaskArray, Split
from datamodules.streets.looks import LOOKS, LookName
from datamodules.streets.palette import CLASS_COLOURS, CLASS_IDS
from datamodules.streets.photograph import photograph
from datamodules.streets.scene import Scene

MINIMUM_SIZE = 32


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
        label_map: what classes become in a run that has others: classes of the run, or ``ignore``.

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
        label_map: dict[int | str, int | str] | None = None,
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
        self.name = look
        self.label_map = dict(label_map or {})
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
        scene = Scene(self.size, np.random.default_rng(scene_seed))
        return photograph(scene, LOOKS[self.look], np.random.default_rng(sensor_seed))

    def read_mask(self, name: str) -> MaskArray:
        """Draws one mask: (H, W) uint8 class ids, no pixel ignored.

        Raises:
            KeyError: if there is no such image.
        """
        scene = Scene(self.size, np.random.default_rng(self._seeds(name)[0]))
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

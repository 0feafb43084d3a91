"""LoveDA."""

from typing import Literal

from datamodules.presets.preset import Preset

_LABELS = dict(enumerate(["no-data", "background", "building", "road", "water", "barren", "forest", "agriculture"]))


class LoveDA(Preset):
    """LoveDA: 5 987 aerial images of three Chinese cities and the country around, 0.3 m a pixel, 1024 × 1024.

    ::

        root/{Train,Val,Test}/{Rural,Urban}/images_png/0.png
        root/{Train,Val}/{Rural,Urban}/masks_png/0.png     (ids 1 to 7; 0 = no data, ignored)

    2 522 images are for training, 1 669 for validation, 1 796 for test. The labels of the test are withheld.

    Unpack ``Train.zip``, ``Val.zip`` and, where wanted, ``Test.zip`` of https://doi.org/10.5281/zenodo.5706578 into the
    root; they are for academic use (CC BY-NC-SA 4.0). Segue neither holds nor downloads any of it.

    Layout, split and ids: "LoveDA: A Remote Sensing Land-Cover Dataset for Domain Adaptive Semantic Segmentation",
    https://github.com/Junjue-Wang/LoveDA.

    Args:
        root: the folder with ``Train`` and ``Val``.
        scene: the only scenes to read; by default both.
        label_map: what ids or classes become, where it is not the class of the same name or ignored.
    """

    unpack = (
        "unpack Train.zip and Val.zip into one folder, so that it holds Train/Rural/images_png and "
        "Train/Rural/masks_png, and set root to it."
    )
    withheld = "Test"

    def __init__(
        self,
        root: str,
        scene: Literal["rural", "urban"] | None = None,
        label_map: dict[int | str, int | str] | None = None,
    ) -> None:
        folder = scene.capitalize() if scene else "*"
        super().__init__(
            root,
            label_map,
            images=f"{{split}}/{folder}/images_png/*.png",
            masks=f"{{split}}/{folder}/masks_png/*.png",
            split_names={"train": "Train", "val": "Val", "test": "Test"},
            classes=_LABELS,
        )
        if scene:
            self.name = f"{self.name}_{scene}"

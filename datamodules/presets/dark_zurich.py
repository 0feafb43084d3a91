"""Dark Zurich."""

from typing import Literal

from datamodules.presets.labels import CITYSCAPES_LABELS
from datamodules.presets.preset import Preset


class DarkZurich(Preset):
    """Dark Zurich: the streets of Zurich by night, at twilight and by day, 1920 × 1080.

    ::

        root/rgb_anon/train/{night,twilight,day}/GOPR0351/GOPR0351_frame_000001_rgb_anon.png
        root/rgb_anon/{val,test}/night/GOPR0356/GOPR0356_frame_000321_rgb_anon.png
        root/gt/val/night/GOPR0356/GOPR0356_frame_000321_gt_labelIds.png

    2 416 images by night, 2 920 at twilight and 3 041 by day are for training and have no labels. Validation (50, with
    labels) and test (151, labels withheld) are by night. The images of the same places by day (``val_ref``,
    ``test_ref``) are not read. Images of a drive are a group.

    Unpack ``Dark_Zurich_train_anon.zip``, ``Dark_Zurich_val_anon.zip`` and, where wanted,
    ``Dark_Zurich_test_anon_withoutGt.zip`` of https://www.trace.ethz.ch/publications/2019/GCMA_UIoU/ into the root; the
    licence is for non-commercial use. Segue neither holds nor downloads any of it.

    Layout: "Map-Guided Curriculum Domain Adaptation and Uncertainty-Aware Evaluation for Semantic Nighttime Image
    Segmentation", https://arxiv.org/abs/2005.14553, and the preparation of the data in
    https://github.com/lhoyer/DAFormer.

    Args:
        root: the folder with ``rgb_anon`` and ``gt``.
        time: which training images; only ``night`` has validation and test.
        label_map: what ids or classes become, where it is not the class of the same name or ignored.
    """

    unpack = (
        "unpack Dark_Zurich_train_anon.zip and Dark_Zurich_val_anon.zip into one folder, so that it holds "
        "rgb_anon/train/night and gt/val/night, and set root to it."
    )
    withheld = "test"

    def __init__(
        self,
        root: str,
        time: Literal["night", "twilight", "day"] = "night",
        label_map: dict[int | str, int | str] | None = None,
    ) -> None:
        super().__init__(
            root,
            label_map,
            images=f"rgb_anon/{{split}}/{time}/*/*_rgb_anon.png",
            masks=f"gt/{{split}}/{time}/*/*_gt_labelIds.png",
            classes=CITYSCAPES_LABELS,
            group="(.*)/",
        )
        self.name = f"{self.name}_{time}"

"""ACDC, the Adverse Conditions Dataset with Correspondences."""

from typing import Literal

from datamodules.presets.labels import CITYSCAPES_LABELS
from datamodules.presets.preset import Preset


class ACDC(Preset):
    """ACDC: Swiss streets in fog, night, rain and snow, 1920 × 1080.

    ::

        root/rgb_anon/{fog,night,rain,snow}/{train,val,test}/GOPR0475/GOPR0475_frame_000041_rgb_anon.png
        root/gt/{fog,night,rain,snow}/{train,val}/GOPR0475/GOPR0475_frame_000041_gt_labelIds.png

    Of each condition 400 images are for training, 100 for validation (106 by night) and 500 for test. The labels of
    the test are withheld. The images of the same places in good weather (``train_ref``, ``val_ref``, ``test_ref``) are
    not read. Images of a drive are a group.

    Unpack ``rgb_anon_trainvaltest.zip`` and ``gt_trainval.zip`` of https://acdc.vision.ee.ethz.ch into the root; the
    licence is for non-commercial use. Segue neither holds nor downloads any of it.

    Layout: "ACDC: The Adverse Conditions Dataset with Correspondences", https://arxiv.org/abs/2104.13395, and the
    preparation of the data in https://github.com/lhoyer/DAFormer.

    Args:
        root: the folder with ``rgb_anon`` and ``gt``.
        condition: the only condition to read; by default all four.
        label_map: what ids or classes become, where it is not the class of the same name or ignored.
    """

    unpack = (
        "unpack rgb_anon_trainvaltest.zip and gt_trainval.zip into one folder, so that it holds rgb_anon/fog/train and "
        "gt/fog/train, and set root to it."
    )
    withheld = "test"

    def __init__(
        self,
        root: str,
        condition: Literal["fog", "night", "rain", "snow"] | None = None,
        label_map: dict[int | str, int | str] | None = None,
    ) -> None:
        super().__init__(
            root,
            label_map,
            images=f"rgb_anon/{condition or '*'}/{{split}}/*/*_rgb_anon.png",
            masks=f"gt/{condition or '*'}/{{split}}/*/*_gt_labelIds.png",
            classes=CITYSCAPES_LABELS,
            group="(.*)/",
        )
        if condition:
            self.name = f"{self.name}_{condition}"

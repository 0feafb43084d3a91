"""Cityscapes."""

from datamodules.presets.labels import CITYSCAPES_LABELS
from datamodules.presets.preset import Preset


class Cityscapes(Preset):
    """Cityscapes: German streets by day, 2048 × 1024, with fine labels.

    ::

        root/leftImg8bit/{train,val,test}/aachen/aachen_000000_000019_leftImg8bit.png
        root/gtFine/{train,val,test}/aachen/aachen_000000_000019_gtFine_labelIds.png

    2 975 images are for training, 500 for validation, 1 525 for test. The labels of the test are withheld: the masks
    there hold the car and the border only, and count as none. Images of a city are a group.

    Unpack ``leftImg8bit_trainvaltest.zip`` and ``gtFine_trainvaltest.zip`` of https://www.cityscapes-dataset.com into
    the root; the licence is for non-commercial use. Segue neither holds nor downloads any of it.

    Layout, splits and ids: "The Cityscapes Dataset", https://github.com/mcordts/cityscapesScripts.

    Args:
        root: the folder with ``leftImg8bit`` and ``gtFine``.
        label_map: what ids or classes become, where it is not the class of the same name or ignored.
    """

    unpack = (
        "unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip into one folder, so that it holds "
        "leftImg8bit/train and gtFine/train, and set root to it."
    )
    withheld = "test"

    def __init__(self, root: str, label_map: dict[int | str, int | str] | None = None) -> None:
        super().__init__(
            root,
            label_map,
            images="leftImg8bit/{split}/*/*_leftImg8bit.png",
            masks="gtFine/{split}/*/*_gtFine_labelIds.png",
            classes=CITYSCAPES_LABELS,
            group="(.*)/",
        )

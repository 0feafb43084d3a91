"""SYNTHIA."""

from typing import Literal

from datamodules.presets.preset import Preset

_LABELS = dict(
    enumerate(
        [
            "void",
            "sky",
            "building",
            "road",
            "sidewalk",
            "fence",
            "vegetation",
            "pole",
            "car",
            "traffic sign",
            "person",  # "pedestrian" in SYNTHIA: the names of Cityscapes, so that nothing need be mapped
            "bicycle",
            "motorcycle",
            "parking slot",
            "road work",
            "traffic light",
            "terrain",
            "rider",
            "truck",
            "bus",
            "train",
            "wall",
            "lane marking",
        ]
    )
)
_NEVER_SEEN = ("terrain", "truck", "train")
"""They have an id but no pixel; were they mapped, a mean over what the source shows would count them."""
_LEFT_OUT = {16: (), 13: ("wall", "fence", "pole")}


class Synthia(Preset):
    """SYNTHIA-RAND-CITYSCAPES: 9 400 drawn streets, 1280 × 760, with the classes of Cityscapes.

    ::

        root/RGB/0000000.png … 0009399.png
        root/GT/LABELS/0000000.png … 0009399.png   (16-bit; the red channel holds the class)

    Of the 19 classes of Cityscapes it shows 16: no terrain, truck or train. Papers score these 16, and 13 of them
    without wall, fence and pole; with this data set as the source, ``val/target/miou_shared`` is that mean. All
    images have labels and there is no official split: by default 5 % are held out by a seed for the validation of the
    source.

    Unpack ``SYNTHIA_RAND_CITYSCAPES.rar`` of https://synthia-dataset.net/downloads/ and set the root to its folder
    ``RAND_CITYSCAPES``; the licence is for non-commercial use. Segue neither holds nor downloads any of it.

    Layout and ids: "The SYNTHIA Dataset", the README of the archive, as https://github.com/lhoyer/DAFormer
    (``tools/convert_datasets/synthia.py``) reads it.

    Args:
        root: the folder with ``RGB`` and ``GT``.
        classes: 16, or 13 to ignore wall, fence and pole as well.
        shares: shares of train, val and test; ``[1, 0, 0]`` trains on all.
        label_map: what ids or classes become, where it is not the class of the same name or ignored.
    """

    unpack = (
        "unpack SYNTHIA_RAND_CITYSCAPES.rar and set root to its folder RAND_CITYSCAPES, which holds RGB/0000000.png "
        "and GT/LABELS/0000000.png."
    )

    def __init__(
        self,
        root: str,
        classes: Literal[16, 13] = 16,
        shares: tuple[float, float, float] = (0.95, 0.05, 0.0),
        label_map: dict[int | str, int | str] | None = None,
    ) -> None:
        ignored = (*_NEVER_SEEN, *_LEFT_OUT[classes])
        # By id or by name: what the user maps is not ignored.
        mapped = {_LABELS.get(int(rule), rule) if str(rule).isdecimal() else rule for rule in label_map or {}}
        super().__init__(
            root,
            {**{name: "ignore" for name in ignored if name not in mapped}, **(label_map or {})},
            images="RGB/*.png",
            masks="GT/LABELS/*.png",
            classes=_LABELS,
            mask_channel=0,
            shares=shares,
        )

"""Folders as PASCAL VOC has them."""

from datamodules.presets.labels import PASCAL_VOC_CLASSES
from datamodules.presets.preset import Preset


class PascalVOC(Preset):
    """PASCAL VOC, and every data set in its layout, as annotation tools write it.

    ::

        root/JPEGImages/2007_000032.jpg
        root/SegmentationClass/2007_000032.png              (palette PNGs of ids; 255 = ignored)
        root/ImageSets/Segmentation/{train,val,test}.txt    (names without suffix)

    VOC 2012 has 1 464 images for training and 1 449 for validation; its test labels are withheld. Images that no list
    names, most of VOC 2012, are not read.

    Unpack ``VOCtrainval_11-May-2012.tar`` of http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ and set the root to its
    folder ``VOCdevkit/VOC2012``; the images are under the terms of Flickr. Segue neither holds nor
    downloads any of it.

    Layout and ids: the development kit on the page above, and torchvision's ``VOCSegmentation``,
    https://github.com/pytorch/vision.

    Args:
        root: the folder with ``JPEGImages`` and ``SegmentationClass``.
        classes: the class names, in the order of the ids; by default the background and the 20 classes of VOC.
        label_map: what ids or classes become, where it is not the class of the same name or ignored.
    """

    unpack = (
        "unpack VOCtrainval_11-May-2012.tar and set root to its folder VOCdevkit/VOC2012, which holds JPEGImages, "
        "SegmentationClass and ImageSets/Segmentation."
    )

    def __init__(
        self,
        root: str,
        classes: list[str] | None = None,
        colors: dict[str, tuple[int, int, int]] | None = None,
        label_map: dict[int | str, int | str] | None = None,
    ) -> None:
        super().__init__(
            root,
            label_map,
            images="JPEGImages/*",
            masks="SegmentationClass/*.png",
            lists="ImageSets/Segmentation/{split}.txt",
            classes=classes or (PASCAL_VOC_CLASSES if colors is None else None),
            colors=colors,
        )

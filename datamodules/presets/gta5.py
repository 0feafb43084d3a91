"""GTA5."""

from datamodules.presets.labels import CITYSCAPES_LABELS
from datamodules.presets.preset import Preset


class GTA5(Preset):
    """GTA5 ("Playing for Data"): 24 966 streets of a computer game, about 1914 × 1052, with the ids of Cityscapes.

    ::

        root/images/00001.png … 24966.png
        root/labels/00001.png … 24966.png        (palette PNGs of the ids 0 to 34)

    All images have labels. Practice trains on all of them and leaves the authors' ``split.mat`` (12 403, 6 382 and
    6 181) unused; but a run that chooses its checkpoint without target labels needs source images to score, so that by
    default 2 % are held out by a seed. Lists ``train.txt`` and ``val.txt`` in the root, such as the authors' split, go
    first. Other codes leave a few images out
    (https://github.com/bupt-ai-cz/IAST-ECCV2020/issues/2 misses 25); ``on_bad_file: skip`` does so with those that
    cannot be read or whose label does not fit, and counts them.

    Unpack ``01_images.zip`` … ``10_images.zip`` and ``01_labels.zip`` … ``10_labels.zip`` of
    https://download.visinf.tu-darmstadt.de/data/from_games/ into the root; they are for research and teaching. Segue
    neither holds nor downloads any of it.

    Layout and ids: "Playing for Data: Ground Truth from Computer Games", the page above, and ADVENT,
    https://github.com/valeoai/ADVENT.

    Args:
        root: the folder with ``images`` and ``labels``.
        shares: shares of train, val and test; ``[1, 0, 0]`` trains on all.
        label_map: what ids or classes become, where it is not the class of the same name or ignored.
    """

    unpack = (
        "unpack 01_images.zip to 10_images.zip and 01_labels.zip to 10_labels.zip into one folder, so that it holds "
        "images/00001.png and labels/00001.png, and set root to it."
    )

    def __init__(
        self,
        root: str,
        shares: tuple[float, float, float] = (0.98, 0.02, 0.0),
        label_map: dict[int | str, int | str] | None = None,
    ) -> None:
        super().__init__(
            root,
            label_map,
            images="images/*.png",
            masks="labels/*.png",
            classes={**CITYSCAPES_LABELS, 34: "license plate"},
            shares=shares,
        )

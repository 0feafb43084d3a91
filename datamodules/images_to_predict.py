"""The images that are to be predicted: a split, a folder, or one image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast, get_args

from datamodules.batch import DomainName
from datamodules.domain import Split
from datamodules.file_domain import FileDomain
from datamodules.folder_domain import FolderDomain
from datamodules.names import Names
from datamodules.reading import SUFFIXES
from datamodules.side import Side


def images_to_predict(predict: str, sides: Mapping[DomainName, Side], classes: Sequence[str]) -> tuple[Side, Names]:
    """Finds them.

    Args:
        predict: a split such as ``target/test``, or the path of a folder of images, or of one image.
        sides: the domains of the run; a folder is read with the ``value_range`` of the target, if it has one.
        classes: the class names of the run.

    Returns:
        What reads them, and their names in it.

    Raises:
        FileNotFoundError: if there is no such path, or no image in it.
        ValueError: if the split is not there or empty, or it is not clear which image is meant.
    """
    role, _, split = predict.partition("/")
    if role in get_args(DomainName) and split in get_args(Split):
        side = sides.get(cast(DomainName, role))
        if side is None:
            raise ValueError(f"data.predict is {predict}, but there is no {role} domain.")
        names = side.splits[cast(Split, split)]
        if not len(names):
            raise ValueError(f"data.predict is {predict}, but this split is empty.")
        return side, names
    parts = sides["target"].parts.values() if "target" in sides else ()
    ranges = {part.value_range for part in parts if isinstance(part, FileDomain)}
    domain, names = _in_path(predict, ranges.pop() if len(ranges) == 1 else None)
    return Side("target", domain, "data.predict", classes), names


def _in_path(predict: str, value_range: tuple[float, float] | None) -> tuple[FolderDomain, Names]:
    path = Path(predict)
    if not path.exists():
        raise FileNotFoundError(
            f"data.predict is {predict!r}: neither a split such as target/test nor a file or folder in {Path.cwd()}."
        )
    domain = FolderDomain(str(path if path.is_dir() else path.parent), images=".", value_range=value_range)
    if path.is_dir():
        if (path / "images").is_dir() and (path / "masks").is_dir():
            raise ValueError(f"data.predict is {predict}, which holds masks too. Set it to {path / 'images'}.")
        return domain, domain.images
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} is no image: looked for {', '.join(SUFFIXES)}, in any case.")
    if not domain.image_path(path.stem).samefile(path):
        raise ValueError(f"{path} has the same name without suffix as {domain.image_path(path.stem)}.")
    return domain, Names([path.stem])

"""The images of a folder, or one image, that are to be predicted."""

from pathlib import Path

from datamodules.folder_domain import FolderDomain
from datamodules.names import Names
from datamodules.reading import SUFFIXES


def images_to_predict(predict: str, value_range: tuple[float, float] | None) -> tuple[FolderDomain, Names]:
    """Finds them.

    Args:
        predict: path of a folder of images, or of one image.
        value_range: as in ``FolderDomain``.

    Returns:
        A domain that reads them, and their names in it.

    Raises:
        FileNotFoundError: if there is no such path.
        ValueError: if there is no image, or it is not clear which is meant.
    """
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

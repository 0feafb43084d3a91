"""Files that are whole or absent, and names that can be printed."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file beside its place and moves it there when it is complete: a run may be killed, and a disk full.

    Args:
        path: the file; missing folders are made.
        write: writes to the path that it is given.

    Raises:
        OSError: if it cannot be written; an earlier file is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        write(part)
        part.replace(path)
    except Exception:
        with suppress(OSError):
            part.unlink()
        raise


def printable(name: str) -> str:
    r"""Returns a name as text, with ``\udce9`` for a byte that is none: a file's name need not be UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")

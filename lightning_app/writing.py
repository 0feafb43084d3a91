"""Files that are whole or absent, and names that can be printed."""

import csv
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn
from rich.text import Text


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


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a table as :func:`write_whole` does.

    Args:
        path: the file.
        columns: the headings.
        rows: as many cells each as there are columns.
    """

    def write(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            csv.writer(file).writerow(columns)
            csv.writer(file).writerows(rows)

    write_whole(path, write)


def try_to_write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Does what :func:`write_csv` does, or warns: a full disk ends no run."""
    try:
        write_csv(path, columns, rows)
    except OSError as error:
        rank_zero_warn(f"{path} could not be written: {error.strerror}. The run goes on without it.")


def printable(name: str) -> str:
    r"""Returns a name as text, with ``\udce9`` for a byte that is none: a file's name need not be UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def as_text(text: str, style: str = "") -> Text:
    """Returns text for a table or a line of the terminal: names may hold bytes that are no text, brackets no markup."""
    return Text(printable(text), style)

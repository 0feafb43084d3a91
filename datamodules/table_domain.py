"""A domain in files that a table lists."""

import csv
import json
import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.file_domain import FileDomain
from datamodules.mask_reading import MASK_SUFFIXES
from datamodules.names import Names, nearest, some
from datamodules.reading import SUFFIXES
from datamodules.splits import SPLITS, read_text, without_comment

_TEXT_SUFFIXES = (".txt", ".lst", ".list")
COLUMNS = ("image", "mask", "split", "group")


class TableDomain(FileDomain):
    """Images and masks that a table names, wherever they are.

    A CSV file has a header with the columns ``image`` and, if wanted, ``mask``, ``split`` and ``group``; a JSON-lines
    file (``.jsonl``) an object with these keys on each line. In a text file each line is an image, or an image and
    its mask with white space between, and a comment begins with a # and a space. A row without a mask is an image
    without labels. A column ``split`` says ``train``, ``val`` or ``test``; without it the images are split by
    ``shares``. An image's name is its path without suffix.

    Args:
        table: the CSV, JSON-lines or text file.
        root: what the paths in it start from; by default the folder of the table.
        settings: the other arguments of ``FileDomain``: classes, colours, label map, value range, shares, groups.

    Raises:
        ValueError: if an argument is out of bounds or contradicts another.
    """

    def __init__(
        self,
        table: str,
        root: str | None = None,
        **settings: Any,  # noqa: ANN401 - FileDomain says
    ) -> None:
        self.table = Path(table)
        self.root = self.table.parent if root is None else Path(root)
        name = self.table.stem
        super().__init__(name, **settings)

    @property
    def images(self) -> Names:
        """The names of all images, in ascending order."""
        return self._rows["name"]

    @cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """(N) whether the row of each of ``images`` names a mask."""
        return np.fromiter(map(bool, self._rows["mask"]), dtype=np.bool_)

    def image_path(self, name: str) -> Path:
        """Returns the file of an image.

        Raises:
            FileNotFoundError: if there is none.
        """
        return self.root / self._cell("image", name)

    def mask_path(self, name: str) -> Path | None:
        """Returns the file of an image's mask, or None if its row names none."""
        mask = self._cell("mask", name)
        return self.root / mask if mask else None

    def mask_place(self, name: str) -> str:
        """Returns where the mask of an image ought to be, for errors."""
        return f"the mask of {name} in {self.table}"

    def own_split(self, name: str) -> str | None:
        """Returns what the column ``split`` says, or None if there is no such column."""
        return self._cell("split", name) or None

    def group(self, name: str) -> str:
        """Returns what ``group`` finds in the name, or what the column ``group`` says, or else the name."""
        return super().group(name) if self._group is not None else self._cell("group", name) or name

    @property
    def has_groups(self) -> bool:
        """Whether images belong together."""
        return self._group is not None or bool(self._rows["group"][0])

    @property
    def place(self) -> str:
        """Where the images are, for errors."""
        return str(self.table)

    def _cell(self, column: str, name: str) -> str:
        row = self._rows["name"].find(name)
        if row is None:
            raise FileNotFoundError(f"there is no image {name!r} in {self.table}.")
        return self._rows[column][row]

    @cached_property
    def _rows(self) -> dict[str, Names]:
        rows: list[tuple[str, int, dict[str, str]]] = []
        for line, row in self._read():
            where = f"{self.table}, line {line}"
            if not row.get("image"):
                raise ValueError(f"{where}: there is no image; the columns are {', '.join(COLUMNS)}.")
            if row.get("split") and row["split"] not in SPLITS:
                raise ValueError(f"{where}: split is {row['split']!r}; splits are {', '.join(SPLITS)}.")
            for column in ("image", "mask"):
                if row.get(column) and not (self.root / row[column]).is_file():
                    raise FileNotFoundError(f"{where}: {column} {self.root / row[column]} does not exist.")
            rows.append((_name(row["image"]), line, row))
        if not rows:
            raise ValueError(f"{self.table} lists no image.")
        rows.sort(key=lambda entry: entry[0])
        for (name, line, _), (other, second, _) in pairwise(rows):
            if name == other:
                raise ValueError(f"{self.table}, lines {line} and {second}: both are the image {name!r}.")
        for column in ("split", "group"):
            empty = [line for _, line, row in rows if not row.get(column)]
            if 0 < len(empty) < len(rows):
                raise ValueError(f"{self.table}, line {empty[0]}: {column} is empty, but other rows have one.")
        columns = {column: Names(row.get(column) or "" for _, _, row in rows) for column in COLUMNS}
        return {"name": Names(name for name, _, _ in rows), **columns}

    def _read(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yields the line number and the cells of every row.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it cannot be understood.
        """
        if not self.table.is_file():
            beside = [path.name for path in self.table.parent.iterdir()] if self.table.parent.is_dir() else []
            near = nearest(self.table.name, beside)
            raise FileNotFoundError(f"table {str(self.table)!r} does not exist (in {Path.cwd()}).{near}")
        text = read_text(self.table)
        suffix = self.table.suffix.lower()
        if suffix == ".csv":
            yield from self._read_csv(text)
        elif suffix == ".jsonl":
            yield from self._read_json_lines(text)
        elif suffix not in _TEXT_SUFFIXES:
            raise ValueError(f"{self.table} is no .csv, no .jsonl and no list of files ({', '.join(_TEXT_SUFFIXES)}).")
        else:
            for number, line in enumerate(text.splitlines(), start=1):
                if without_comment(line):
                    yield number, _image_and_mask(without_comment(line))

    def _read_csv(self, text: str) -> Iterator[tuple[int, dict[str, str]]]:
        reader = csv.DictReader(text.splitlines())
        columns = [column.strip() for column in reader.fieldnames or ()]
        self._check_columns(columns, 1)
        reader.fieldnames = columns
        for row in reader:
            if None in row:
                raise ValueError(f"{self.table}, line {reader.line_num}: there are more cells than columns.")
            yield reader.line_num, {column: (cell or "").strip() for column, cell in row.items()}

    def _read_json_lines(self, text: str) -> Iterator[tuple[int, dict[str, str]]]:
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                row: Any = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{self.table}, line {number}: this is no JSON: {error}.") from error
            if not isinstance(row, dict):
                raise ValueError(f"{self.table}, line {number}: this is no object with the keys {', '.join(COLUMNS)}.")
            self._check_columns(list(row), number)
            yield number, {column: "" if cell is None else str(cell) for column, cell in row.items()}

    def _check_columns(self, columns: Sequence[str], line: int) -> None:
        strange = [column for column in columns if column not in COLUMNS or columns.count(column) > 1]
        if strange or "image" not in columns:
            separators = {";": "semicolons", "\t": "tabs"}
            found = next((word for sign, word in separators.items() if any(sign in column for column in columns)), None)
            if found is not None:
                raise ValueError(f"{self.table}, line {line}: cells are separated by {found}; separate them by commas.")
            raise ValueError(
                f"{self.table}, line {line}: the columns are {some(columns)}; there must be image, and there can be "
                "mask, split and group, each once."
            )


_ENDING = "|".join(map(re.escape, dict.fromkeys((*SUFFIXES, *MASK_SUFFIXES))))
# Names may hold spaces, so that a line is cut only behind a suffix.
_PAIR = re.compile(rf"(.*?(?:{_ENDING}))\s+(\S.*)", re.IGNORECASE)


def _image_and_mask(line: str) -> dict[str, str]:
    pair = _PAIR.fullmatch(line)
    return {"image": line} if pair is None else {"image": pair[1], "mask": pair[2]}


def _name(image: str) -> str:
    """Returns the path without suffix and without what leads out of a folder: predictions are written under it."""
    parts = Path(os.path.normpath(image)).parts
    return Path(*[part for part in parts if part not in ("/", "..")]).with_suffix("").as_posix()

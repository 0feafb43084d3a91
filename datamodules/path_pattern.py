"""Patterns of paths, and the names that they give to files."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

_WILDCARD = re.compile(r"\*\*/|\*|\{split\}")
_CAPTURES = {"**/": r"((?:[^/]+/)*)", "*": r"([^/]*)", "{split}": r"([^/]+)"}


class PathPattern:
    """A folder, or a pattern such as ``leftImg8bit/{split}/*/*_leftImg8bit.png``, and the names of what it matches.

    ``*`` stands for anything within a folder's or file's name, ``**/`` for any folders between, ``{split}`` for the
    data set's own name of a split. A file's name is its path from the first of these to the last. A folder alone
    stands for all the files in it and below, and a pattern that ends with ``*`` for files of the suffixes.

    Args:
        pattern: the folder or the pattern, with ``/`` between folders.
        suffixes: suffixes in lower case.
        key: the configuration's key, for errors.

    Attributes:
        folder: the folder that holds all that is matched.
        wildcards: what there is of ``**/``, ``*`` and ``{split}``, in order.
        takes_any_suffix: whether files of all the suffixes match.

    Raises:
        ValueError: if ``**`` does not stand for whole folders, or there is a ``?`` or another ``{…}``.
    """

    def __init__(self, pattern: str, suffixes: Sequence[str], key: str) -> None:
        self.pattern = pattern
        self.suffixes = tuple(suffixes)
        if _WILDCARD.search(pattern) is None:
            pattern = f"{pattern.rstrip('/')}/**/*"
        strange = re.search(r"\?|\{(?!split\})", pattern)
        if strange is not None:
            raise ValueError(f"{key} is {self.pattern!r}; only *, **/ and {{split}} stand for something else.")
        if "**" in pattern.replace("**/", ""):
            raise ValueError(f"{key} is {self.pattern!r}; ** stands for whole folders: write **/ before what follows.")
        pattern = os.path.normpath(pattern) if pattern.startswith("./") else pattern
        self.wildcards = _WILDCARD.findall(pattern)
        self._literals = _WILDCARD.split(pattern)
        self.folder = self._literals[0].rpartition("/")[0]
        self._before, self._after = self._literals[0], self._literals[-1]
        inner = "".join(
            _CAPTURES[wildcard] + re.escape(literal)
            for wildcard, literal in zip(self.wildcards, [*self._literals[1:-1], ""], strict=True)
        )
        self._name = re.compile(inner)
        self.takes_any_suffix = not self._after
        ending = "|".join(map(re.escape, self.suffixes))
        self._path = re.compile(
            re.escape(self._before) + inner + (f"(?i:{ending})" if self.takes_any_suffix else re.escape(self._after))
        )

    def name(self, path: str) -> str | None:
        """Returns the name of a path with ``/`` between folders, or None if it does not match."""
        if self._path.fullmatch(path) is None:
            return None
        return path[len(self._before) : path.rindex(".") if self.takes_any_suffix else len(path) - len(self._after)]

    def captures(self, name: str) -> Sequence[str] | None:
        """Returns what stands for each wildcard in a name, or None if it is no name of this pattern."""
        found = self._name.fullmatch(name)
        return None if found is None else found.groups()

    def split(self, name: str) -> str | None:
        """Returns what stands for ``{split}`` in a name; None if the pattern has none."""
        if "{split}" not in self.wildcards:
            return None
        found = self.captures(name)
        return None if found is None else found[self.wildcards.index("{split}")]

    def paths(self, captures: Sequence[str]) -> Iterator[str]:
        """Yields the paths that what stands for the wildcards can lead to, one for each suffix that is possible."""
        path = "".join(literal + capture for literal, capture in zip(self._literals, [*captures, ""], strict=True))
        if not self.takes_any_suffix:
            yield path
            return
        yield from (path + suffix for suffix in self.suffixes)
        yield from (path + suffix.upper() for suffix in self.suffixes)

    def rebuild(self, captures: Sequence[str]) -> str:
        """Returns the name in which something stands for each wildcard."""
        literals = [*self._literals[1:-1], ""]
        return "".join(capture + literal for capture, literal in zip(captures, literals, strict=True))

    def find(self, root: Path, captures: Sequence[str]) -> Path | None:
        """Returns the file that what stands for the wildcards leads to, or None if there is none."""
        for path in self.paths(captures):
            if (root / path).is_file():
                return root / path
        if not self.takes_any_suffix:
            return None
        wanted = root / next(self.paths(captures))
        odd = _odd_spellings(wanted.parent, self.suffixes).get(wanted.name.removesuffix(self.suffixes[0]))
        return None if odd is None else wanted.parent / odd

    def walk(self, root: Path) -> Iterator[str]:
        """Yields the names of all files below a root, in no order; a name that two files have comes twice."""
        for path in walk_files(root / self.folder):
            name = self.name(f"{self.folder}/{path}" if self.folder else path)
            if name is not None:
                yield name


@lru_cache(maxsize=1024)
def _odd_spellings(folder: Path, suffixes: tuple[str, ...]) -> dict[str, str]:
    """Returns the files of a folder whose suffix is spelled in both cases, such as .Png, by what stands before it."""
    usual = {*suffixes, *map(str.upper, suffixes)}
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return {}
    parts = [(name, name.rpartition(".")) for name in names]
    return {stem: name for name, (stem, _, end) in parts if f".{end}".lower() in suffixes and f".{end}" not in usual}


def walk_files(folder: Path) -> Iterator[str]:
    """Yields the paths of the files below a folder, with ``/`` between folders; hidden ones are passed over.

    Links to folders are followed.

    Raises:
        ValueError: if a link leads back to a folder above it.
    """
    # Strings and not Paths: a million of those would take a minute.
    waiting: list[tuple[str, str, Mapping[tuple[int, int], str]]] = [(str(folder), "", {})]
    while waiting:
        path, inside, above = waiting.pop()
        described = Path(path).stat()
        identity = (described.st_dev, described.st_ino)
        if identity in above:
            raise ValueError(
                f"{path} is a link that leads back to {above[identity]}, so that its files have no end: remove it."
            )
        below: Mapping[tuple[int, int], str] | None = None
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if _is_folder(entry):
                    below = below or {**above, identity: path}
                    waiting.append((entry.path, f"{inside}{entry.name}/", below))
                else:
                    yield inside + entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        raise ValueError(f"{entry.path} cannot be followed: {error.strerror}. Remove or mend this link.") from error

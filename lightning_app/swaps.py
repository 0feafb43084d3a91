"""What happens when a class is chosen: nothing is carried over from the one before, and its parser knows its name."""

import sys
from importlib import import_module
from typing import Protocol

import jsonargparse._typehints as typehints
from jsonargparse import Namespace


class ClassParser(Protocol):
    """The parser of a class's arguments.

    Attributes:
        class_path: the class, which jsonargparse does not tell it; its messages shall name it.
    """

    class_path: str | None


def carry_nothing_over() -> None:
    """Makes the parser drop the arguments of a class when a later config or option names another class.

    jsonargparse keeps those whose names the new class knows too, so that a weight, a criterion or a whole wrapped
    method went from one method to the next in silence. It has no setting for this.
    """
    typehints.discard_init_args_on_class_path_change = _on_class_chosen


def _on_class_chosen(parser: ClassParser, before: Namespace | None, after: Namespace) -> None:
    parser.class_path = after.get("class_path")
    _discard(before, after)


def _discard(before: Namespace | None, after: Namespace) -> None:
    if not before or not before.get("init_args") or not before.get("class_path") or not after.get("class_path"):
        return
    if _same(before["class_path"], after["class_path"]):
        return
    # Only what somebody wrote is worth a line, not what was a default.
    dropped = [name for name, value in before["init_args"].items(branches=True, nested=False) if value]
    before.pop("init_args")
    change = (before["class_path"].rsplit(".", 1)[-1], after["class_path"].rsplit(".", 1)[-1], tuple(dropped))
    if dropped and change not in _said:
        _said.add(change)
        print(f"{change[1]} takes the place of {change[0]}, whose {', '.join(dropped)} are dropped.", file=sys.stderr)


_said: set[tuple[str, str, tuple[str, ...]]] = set()


def _same(first: str, second: str) -> bool:
    return first == second or _resolve(first) is _resolve(second)


def _resolve(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name) if module else path

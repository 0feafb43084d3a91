"""From the ids in a domain's masks to the class ids of the run."""

from collections.abc import Mapping, Sequence
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.batch import IGNORE
from datamodules.domain import IdArray, MaskArray
from datamodules.names import nearest, some

MOST_CLASSES = 254
"""255 is ignore, and 254 marks an id without a class while masks are mapped."""
_UNKNOWN = 254
_LARGEST_ID = 65535
_REST = "*"


class LabelMap:
    """A table from ids to class ids.

    An id becomes what its own rule says, or else the rule of its class name, or else the class of the run that has
    this name, or else what ``*`` says. 255 is ignored unless classes or a rule name it. Where the ids have no names,
    they are the run's as they are, or with ``*`` an id without a rule becomes what that says.

    Args:
        classes: the names of the ids: a list (id = position), a mapping of ids, or None if the ids are the run's.
        rules: ids or class names of the domain to class ids or class names of the run, or to ``ignore``.
        run_classes: the class names of the run.
        key: the configuration's key of the rules, for errors.

    Attributes:
        reached: the class ids of the run that masks of the domain can hold, ascending.
        rules_by_id: the rules with ids as keys, for a report of ids that never occur.

    Raises:
        ValueError: if a rule names what does not exist, two rules are about one id, or a class has no place.
    """

    def __init__(
        self,
        classes: Sequence[str] | Mapping[int, str] | None,
        rules: Mapping[int | str, int | str],
        run_classes: Sequence[str],
        key: str = "label_map",
    ) -> None:
        self.key = key
        self.class_count = len(run_classes)
        given = run_classes if classes is None else classes
        own = {int(i): name for i, name in (given.items() if isinstance(given, Mapping) else enumerate(given))}
        self.names = own
        for id_ in own:
            self._check_id(id_, "classes")
        known: dict[int, int] = {}
        by_name = {name: class_id for class_id, name in enumerate(run_classes)}
        rest = rules.get(_REST)
        self.rules_by_id = self._by_id({rule: value for rule, value in rules.items() if rule != _REST}, own)
        homeless: list[str] = []
        for id_, name in own.items():
            if id_ in self.rules_by_id:
                continue
            if classes is None:
                if rest is None:
                    known[id_] = id_
            elif name in by_name:
                known[id_] = by_name[name]
            elif name == "ignore":
                known[id_] = IGNORE
            elif rest is not None:
                known[id_] = self._class_id(rest, run_classes)
            else:
                homeless.append(name)
        if homeless:
            raise ValueError(
                f"{key}: the run has no class {some(list(dict.fromkeys(homeless)))}; its classes are "
                f"{', '.join(run_classes)}. Map each to one of them or to ignore, or all of them by '*': ignore."
            )
        by_rule = {id_: self._class_id(value, run_classes) for id_, value in self.rules_by_id.items()}
        if classes is None and rest is None:
            self._refuse_half_a_map(by_rule)
        known |= by_rule
        known.setdefault(IGNORE, IGNORE)
        self._known_ids = dict(sorted(known.items()))
        others = self._class_id(rest, run_classes) if classes is None and rest is not None else _UNKNOWN
        self.reached = sorted({class_id for class_id in (*known.values(), others) if class_id < _UNKNOWN})
        self._others = others
        self._table = np.full(256, others, np.uint8)
        self._large: NDArray[np.uint8] | None = None
        if max(known) > 255 or others != _UNKNOWN:
            self._large = np.full(_LARGEST_ID + 1, others, np.uint8)
        for id_, class_id in known.items():
            if id_ <= 255:
                self._table[id_] = class_id
            if self._large is not None:
                self._large[id_] = class_id

    def __call__(self, mask: IdArray, what: str) -> MaskArray:
        """Maps a mask.

        Args:
            mask: (H, W) uint8 or uint16 ids.
            what: names the mask in the error.

        Returns:
            (H, W) uint8 class ids of the run, 255 = ignore.

        Raises:
            ValueError: if an id has no class.
        """
        if not mask.size:  # OpenCV takes no empty array
            return np.empty(mask.shape, np.uint8)
        if mask.dtype == np.uint8:
            mapped = cast(MaskArray, cv2.LUT(mask, self._table))
        elif self._large is not None:
            mapped = self._large[mask]
        else:
            mapped = np.where(mask > 255, np.uint8(_UNKNOWN), self._table[np.minimum(mask, 255)])
        if _holds_unknown(mapped):
            ids, counts = np.unique(mask[mapped == _UNKNOWN], return_counts=True)
            others = f" (and {some([str(i) for i in ids[1:]])})" if len(ids) > 1 else ""
            raise ValueError(
                f"{what} holds class id {ids[0]}{others} in {counts.sum()} pixels; {self._known()}. "
                f"Map it in {self.key}."
            )
        return mapped

    def __repr__(self) -> str:
        """Returns the whole table."""
        others = "" if self._others == _UNKNOWN else f", others {self._others}"
        return f"LabelMap({self._known_ids}{others}, {self.class_count} classes)"

    def _known(self) -> str:
        ids = sorted(self.names)
        if ids == list(range(len(ids))):
            return f"classes are 0 to {len(ids) - 1} and 255 (ignore)"
        return f"known are {some([f'{i} ({self.names[i]})' for i in ids])} and 255 (ignore)"

    def _by_id(self, rules: Mapping[int | str, int | str], own: Mapping[int, str]) -> dict[int, int | str]:
        found: dict[int, int | str] = {}
        for rule, value in rules.items():
            if isinstance(rule, bool):
                raise ValueError(f"{self.key}: YAML reads no, off, yes and on as {rule}; put the class name in quotes.")
            number = int(rule) if str(rule).lstrip("-").isdecimal() else None
            if number is not None and str(number) in own.values() and own.get(number) != str(number):
                raise ValueError(
                    f"{self.key} names {rule!r}, which is an id and also the name of a class; name the id of the class."
                )
            if number is not None:
                self._check_id(number, f"rule {rule}: {value}")
                ids = [number]
            else:
                ids = [id_ for id_, name in own.items() if name == rule]
                if not ids:
                    raise ValueError(
                        f"{self.key} names {rule!r}, which is no class of the domain; its classes are "
                        f"{', '.join(dict.fromkeys(own.values()))}.{nearest(str(rule), own.values())}"
                    )
            for id_ in ids:
                if id_ in found:
                    raise ValueError(
                        f"{self.key} has two rules about id {id_} ({own.get(id_, 'no class')}): by its number and by "
                        "its name. Keep one."
                    )
                found[id_] = value
        return found

    def _refuse_half_a_map(self, by_rule: Mapping[int, int]) -> None:
        # Ids of another data set, mapped in part, would leave the others to pass for the run's.
        beyond = [id_ for id_, class_id in by_rule.items() if IGNORE not in (id_, class_id) and id_ >= self.class_count]
        if beyond:
            raise ValueError(
                f"{self.key} maps the ids {some([str(id_) for id_ in beyond])}, but says nothing of the others: 0 to "
                f"{self.class_count - 1} would count as the run's classes. Add '*': ignore, or name what the ids mean "
                "by classes of the domain."
            )

    def _class_id(self, value: int | str, run_classes: Sequence[str]) -> int:
        if isinstance(value, bool):
            raise ValueError(f"{self.key}: YAML reads no, off, yes and on as {value}; put the class name in quotes.")
        if isinstance(value, str) and value.isdecimal() and value not in run_classes:
            value = int(value)
        if value in ("ignore", IGNORE):
            return IGNORE
        if isinstance(value, str):
            if value not in run_classes:
                raise ValueError(
                    f"{self.key} maps to {value!r}, which is neither ignore nor a class of the run: "
                    f"{', '.join(run_classes)}.{nearest(value, run_classes)}"
                )
            return list(run_classes).index(value)
        if not 0 <= value < len(run_classes):
            raise ValueError(
                f"{self.key} maps to class id {value}; the run's are 0 to {len(run_classes) - 1}, and 255 is ignore."
            )
        return value

    def _check_id(self, id_: int, where: str) -> None:
        if not 0 <= id_ <= _LARGEST_ID:
            raise ValueError(f"{self.key}, {where}: {id_} is no id of a mask; they are 0 to {_LARGEST_ID}.")


def _holds_unknown(mapped: MaskArray) -> bool:
    # Nearly every mask holds none: one pass that OpenCV makes in a fraction of numpy's time.
    return bool(cv2.inRange(mapped, np.array(_UNKNOWN), np.array(_UNKNOWN)).any())

"""What a check has found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """Something that a user should know before the run.

    Attributes:
        severity: an ``error`` stops the run or makes its numbers wrong; a ``warning`` may; a ``note`` does not.
        what: what it is, with names and values.
        mend: what to do about it; empty where ``what`` says it.
        items: all that it is about, such as files, one line each.
    """

    severity: Severity
    what: str
    mend: str = ""
    items: Sequence[str] = ()

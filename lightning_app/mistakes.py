"""What a mistyped option or class may have meant."""

import inspect
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from importlib import import_module

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from datamodules.cross_domain_data_module import CrossDomainDataModule
from datamodules.domain import Domain
from datamodules.joined_domains import JoinedDomains
from lightning_app.check.options import CheckOptions
from lightning_app.gap.options import GapOptions
from lightning_app.segmenter import Segmenter
from strategies.base import Strategy
from strategies.components.criteria import Criterion
from strategies.wrapper import Wrapper

SWAPPABLE = (Strategy, Criterion, Domain, LightningDataModule)
"""The bases whose subclasses are chosen by ``class_path``."""


def explain(message: str, class_path: str | None = None, arguments: Sequence[str] = ()) -> str:
    """Turns the parser's message into one that names the nearest thing there is.

    Args:
        message: what jsonargparse says.
        class_path: the class whose arguments were parsed; None for the program's own options.
        arguments: the arguments of that class.

    Returns:
        The message, shortened to the mistake and its mend where it is about a name.
    """
    from_worker = message.rpartition("Original Traceback")
    if from_worker[1]:
        return re.split(r"\n\w+(?:Error|Exception): ", from_worker[2])[-1].strip()
    key = re.search(r'Parser key "([\w.]+)"', message)
    wrong_class = re.search(r"Expected a dot import path string: (\S+)", message)
    if wrong_class is not None:
        return _unknown_class(wrong_class[1], key[1] if key else "class_path", _bases(message))
    # Where a value may be of several types, the parser lists what each of them says: ours is the one to hear.
    lines = re.findall(r"^\s+- (.*)", message, flags=re.MULTILINE)
    said = [line for line in lines if not line.startswith(("Expected a", "Does not validate"))]
    if said:
        return "\n".join(dict.fromkeys(f"{key[1]}: {line}" if key else line for line in said))
    owner = class_path.rpartition(".")[2] if class_path else None
    wrong_option = re.search(r"unrecognized arguments: (?:--)?([\w.]+)|ption '([\w.]+)'", message)
    if wrong_option is not None:
        name = wrong_option[1] or wrong_option[2]
        return _unknown_argument(owner, name, arguments) if owner else _unknown_option(message, name)
    # The last is the whole value, the ones before it are what is in it.
    value = re.findall(r"(?:Got|Given) value: (.*)", message)
    if key and value:
        expected = [_plain(one) for one in re.findall(r"Expected a (.*?)(?:\. Got value.*)?$", message, re.MULTILINE)]
        place = f"{owner}.{key[1]}" if owner else key[1]
        within = re.search(r"Expected a (.*)\. Got value: (.*)$", message, re.MULTILINE)
        if within is not None and within[2] != value[-1] and value[-1].startswith("{"):
            return f"{place} is '{value[-1]}': its '{within[2]}' must be {_plain(within[1])}."
        return f"{place} is '{value[-1]}'; it takes {' or '.join(dict.fromkeys(expected))}."
    return message.strip()


def _unknown_argument(owner: str, name: str, known: Sequence[str]) -> str:
    nearest = get_close_matches(name, known, n=2)
    meant = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
    return f"{owner} has no argument '{name}'.{meant} Its arguments are {', '.join(known)}."


def _unknown_option(message: str, name: str) -> str:
    # A name that another command has cannot be what is meant.
    nearest = get_close_matches(name, sorted(_options() - {name}), n=2, cutoff=0.7)
    spelled = [f"--{option}" if "." in name else option for option in nearest]
    return message.strip() + (f"\nDid you mean {' or '.join(spelled)}?" if nearest else "")


def _plain(kind: str) -> str:
    """A type as a user would write its values."""
    choices = re.search(r"Literal\[(.*)\]", kind)
    if choices is not None:
        return f"one of {choices[1]}".replace("'", "")
    names = {
        "NoneType": "null",
        "Sequence": "a list",
        "Mapping": "a mapping",
        "list": "a list",
        "tuple": "a list",
        "dict": "a mapping",
    }
    name = re.sub(r"<class '([\w.]+)'>", r"\1", kind).partition("[")[0].rpartition(".")[2]
    return names.get(name, name)


def _unknown_class(name: str, key: str, bases: list[type]) -> str:
    known = sorted(
        {
            found.__name__
            for base in bases
            for found in _subclasses(base)
            if not inspect.isabstract(found) and found not in (Wrapper, JoinedDomains)
        }
    )
    nearest = get_close_matches(name.rsplit(".", 1)[-1], known, n=1)
    lines = [f"{key}: there is no class '{name}'." + (f" Did you mean {nearest[0]}?" if nearest else "")]
    if known and len(known) <= 40:
        lines.append(f"Known: {', '.join(known)}.")
    lines.append("A class of your own is named by its file in the working directory: my_file.MyClass.")
    return "\n".join(lines)


def _bases(message: str) -> list[type]:
    """The types that the parser would have taken, as far as they are classes to choose from."""
    found: list[type] = []
    for module, name in re.findall(r"([\w.]+)\.(\w+)'?>?[,\]]", message):
        if module.split(".")[0] in ("strategies", "datamodules", "lightning", "lightning_app"):
            candidate = getattr(import_module(module), name, None)
            if isinstance(candidate, type):
                found.append(candidate)
    return found


def _subclasses(base: type) -> Iterable[type]:
    found: type
    for found in base.__subclasses__():
        # Lightning's own examples are no choices.
        if not found.__module__.startswith(("lightning.pytorch.demos", "lightning.pytorch.core")):
            yield found
        yield from _subclasses(found)


def _options() -> set[str]:
    """Every option's name, dotted, and the bare names of what a chosen class takes."""
    options = {"config", "run", "seed_everything", "ckpt_path", "source_only", "candidates", "runs", "pixels", "report"}
    options |= {f"predictions.{name}" for name in ("folder", "overlays", "probabilities")}
    groups: dict[str, type] = {
        "trainer": Trainer,
        "model": Segmenter,
        "data": CrossDomainDataModule,
        "checkpoint": ModelCheckpoint,
        "check": CheckOptions,
        "gap": GapOptions,
    }
    for group, owner in groups.items():
        options |= {f"{group}.{name}" for name in inspect.signature(owner).parameters}
    for base in SWAPPABLE:
        options |= {name for found in _subclasses(base) for name in inspect.signature(found).parameters}
    return options

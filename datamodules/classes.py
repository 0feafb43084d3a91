"""The classes of a run, from what it is given and what its domains know."""

from collections.abc import Mapping, Sequence

from datamodules.batch import DomainName
from datamodules.domain import Domain
from datamodules.joined_domains import JoinedDomains
from datamodules.label_map import MOST_CLASSES


def agreed_classes(domains: Mapping[DomainName, Domain], given: Sequence[str] | None) -> list[str]:
    """Returns the class names of the run: those given, or else those that the domains agree on.

    Args:
        domains: the domain of each role.
        given: the class names, in the order of the class ids.

    Raises:
        ValueError: if none are given and the domains know none or different ones, or if there are too few, too many,
            or one twice.
    """
    if given is None:
        given = _of_domains(domains)
        if given is None:
            return []
    names = list(given)
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"data.classes names classes twice: {', '.join(twice)}.")
    if "ignore" in names:
        raise ValueError("data.classes names ignore, which is no class: pixels of id 255 are ignored without it.")
    if not 2 <= len(names) <= MOST_CLASSES:
        raise ValueError(f"data.classes has {len(names)} classes; there are at least 2 and at most {MOST_CLASSES}.")
    return names


def _of_domains(domains: Mapping[DomainName, Domain]) -> Sequence[str] | None:
    known: dict[str, list[str]] = {}
    for role, domain in domains.items():
        for one in domain.parts.values() if isinstance(domain, JoinedDomains) else [domain]:
            # A mapping of ids and a label map are about more than the run's classes.
            if one.classes and not isinstance(one.classes, Mapping) and not one.label_map:
                known[f"the {role} domain{f' {one.name}' if isinstance(domain, JoinedDomains) else ''}"] = [
                    name for name in one.classes if name != "ignore"
                ]
    if not known:
        if domains:
            raise ValueError("data.classes is not given. Set it to the class names, in the order of the class ids.")
        return None
    (first, names), *others = known.items()
    for other, its_names in others:
        if its_names != names:
            raise ValueError(
                f"{first} has the classes {names}, but {other} has {its_names}. Set data.classes to those of the run; "
                "label_map of a domain says what its other classes become."
            )
    return names

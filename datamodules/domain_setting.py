"""How the domains of a role are given: one or several, each by its class or by its folder."""

from pathlib import Path

from datamodules.domain import Domain
from datamodules.folder_domain import FolderDomain
from datamodules.joined_domains import JoinedDomains

DomainSetting = Domain | str | list[Domain | str]
"""A domain, the root of a ``FolderDomain``, or several of these."""


def as_domain(given: DomainSetting) -> Domain:
    """Makes one domain of what is given.

    Raises:
        ValueError: if it is an empty list, or a file in place of a folder.
    """
    listed = given if isinstance(given, list) else [given]
    for domain in listed:
        # The command line reads a file that a domain is given as, and hands over its text.
        if isinstance(domain, str) and ("\n" in domain or Path(domain).is_file()):
            raise ValueError(
                "a domain is given as a file. A table is {class_path: TableDomain, init_args: {table: …}}; all else is "
                "a folder."
            )
    if not listed:
        raise ValueError("an empty list of domains is given; leave the domain out, or name one.")
    domains = [FolderDomain(domain) if isinstance(domain, str) else domain for domain in listed]
    return domains[0] if len(domains) == 1 else JoinedDomains(domains)

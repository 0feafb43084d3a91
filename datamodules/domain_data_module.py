"""One domain as Lightning wants it."""

from typing import Any, ClassVar

from datamodules.batch import DomainName
from datamodules.cross_domain_data_module import CrossDomainDataModule
from datamodules.domain_setting import DomainSetting


class DomainDataModule(CrossDomainDataModule):
    """Feeds a strategy from one domain alone.

    Args:
        domain: the domain, or the root of a ``FolderDomain``, or a list of these.
        role: what the domain is: all training masks of a ``source`` are used, of a ``target`` those that ``labels``
            gives.
        settings: the other arguments of ``CrossDomainDataModule``.

    Raises:
        ValueError: if the classes are not given or contradict the domain's, or if a number is out of bounds.
    """

    _keys: ClassVar[dict[DomainName, str]] = {"source": "data.init_args.domain", "target": "data.init_args.domain"}

    def __init__(self, domain: DomainSetting, role: DomainName = "target", **settings: Any) -> None:  # noqa: ANN401 - types are in the superclass
        super().__init__(
            source=domain if role == "source" else None, target=domain if role == "target" else None, **settings
        )

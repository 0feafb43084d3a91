"""The images of each domain that are most and least like the other domain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from datamodules import CrossDomainDataModule
from datamodules.batch import DomainName
from datamodules.reading import convert_channels
from lightning_app.gap.domain_sample import DomainSample
from lightning_app.html import picture_address
from lightning_app.pictures import to_rgb

_SHOWN = 4


@dataclass(frozen=True)
class RankedImage:
    """An image and how much it is like the other domain.

    Attributes:
        name: the image.
        likeness: how much more it is like the other domain than like its own.
        picture: data address of the image.
    """

    name: str
    likeness: float
    picture: str


def nearest_and_farthest(
    data: CrossDomainDataModule, samples: Mapping[DomainName, DomainSample], likeness: Mapping[DomainName, Tensor]
) -> dict[str, list[RankedImage]]:
    """Returns for each domain its images that are nearest to the other, and those farthest from it.

    Args:
        data: the domains.
        samples: the images that were measured.
        likeness: (images,) of each domain.
    """
    found: dict[str, list[RankedImage]] = {}
    for role, values in likeness.items():
        other = "source" if role == "target" else "target"
        order = values.argsort(descending=True).tolist()
        shown = min(_SHOWN, (len(order) + 1) // 2)
        for title, positions in (
            (f"{role} images nearest to the {other}", order[:shown]),
            (f"{role} images farthest from the {other}", order[::-1][: min(shown, len(order) - shown)]),
        ):
            found[title] = _ranked(data, role, samples[role].names, positions, values)
    return found


def _ranked(
    data: CrossDomainDataModule, role: DomainName, names: Sequence[str], positions: Sequence[int], values: Tensor
) -> list[RankedImage]:
    images = []
    for position in positions:
        name = names[position]
        image = convert_channels(data.sides[role].domain.read_image(name), data.channels, name)
        images.append(RankedImage(name, float(values[position]), picture_address(to_rgb(image))))
    return images

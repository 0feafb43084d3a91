"""What is kept of the images of a domain."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from datamodules.names import Names
from lightning_app.gap.set_sums import SetSums
from lightning_app.pixel_reservoir import PixelReservoir


@dataclass
class DomainSample:
    """A bounded sample of a domain's images, as one network sees them.

    Attributes:
        names: the images that are read.
        labelled: of each, whether its mask may be read and is there.
        groups: of each, what it belongs to.
        by_labels: of each, whether it is among those that are compared by their labels.
        predicted: of each, whether a prediction stands for its labels, or is to be compared with them.
        statistics: sums of the ``moments`` of what BatchNorm layers were given, over the sets of images compared.
        labels: sums of ``mask`` and ``prediction``, pixels by class, and ``confusion``, pixels by [prediction, truth].
        class_pixels: ``features`` of pixels of each class, and the ``image`` that each is of.
    """

    names: Names
    labelled: list[bool]
    groups: list[str]
    by_labels: list[bool]
    predicted: list[bool]
    statistics: SetSums
    labels: SetSums
    class_pixels: PixelReservoir
    _kept: dict[str, Tensor] = field(default_factory=dict)

    def keep(self, name: str, image: int, values: Tensor) -> None:
        """Keeps values of an image.

        Args:
            name: what they are: ``colours``, ``spectra`` or ``stage 0`` and on.
            image: its position.
            values: of the same shape for all images.

        Raises:
            ValueError: if a value is not finite: distances of such would be numbers all the same.
        """
        if not values.isfinite().all():
            raise ValueError(
                f"image {self.names[image]}: its {name} are not all finite; either the image holds NaN or infinity, or "
                "the network's weights are damaged."
            )
        if name not in self._kept:
            self._kept[name] = torch.empty(len(self.names), *values.shape)
        self._kept[name][image] = values

    def __getitem__(self, name: str) -> Tensor:
        """Returns what was kept under a name, (images, …) float32."""
        return self._kept[name]

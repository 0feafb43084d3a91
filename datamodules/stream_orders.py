"""In which order the images of the training streams are drawn."""

from collections.abc import Mapping, Sequence

import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from numpy.typing import NDArray

from datamodules.batch import DomainName, RareClassSampling, StreamName
from datamodules.class_index import class_counts
from datamodules.draw_orders import draw_order
from datamodules.names import Names, some
from datamodules.rare_classes import left_out_classes
from datamodules.samplers import DrawOrder
from datamodules.side import Side


class StreamOrders:
    """Makes the orders; counts the pixels of the classes where rare ones are asked for, once a stream.

    Args:
        weights: how often each of several domains is drawn, by role; None draws each image as often as any other.
        domains: the number of domains, by role.
        classes: the class names of the run.
        seed: the seed of the data.
        workers: 0 counts in the main process, and anything else with all cores.
        skip_bad_files: whether masks that cannot be read count as ones without pixels.

    Raises:
        ValueError: if there is not one weight for each domain.
    """

    def __init__(
        self,
        weights: Mapping[DomainName, list[float] | None],
        domains: Mapping[DomainName, int],
        classes: Sequence[str],
        *,
        seed: int,
        workers: int,
        skip_bad_files: bool,
    ) -> None:
        for role, of_role in weights.items():
            count = domains.get(role, 0)
            if of_role is not None and len(of_role) != count:
                raise ValueError(f"data.{role}_weights is {of_role} for {count} domains; each domain has one weight.")
        self.weights = weights
        self.classes = classes
        self.seed = seed
        self.workers = workers
        self.skip_bad_files = skip_bad_files
        self._counts: dict[StreamName, NDArray[np.uint32]] = {}

    def count(self, stream: StreamName, names: Names, side: Side, sampling: RareClassSampling) -> NDArray[np.uint32]:
        """Returns the pixels of each class in each mask of a labelled stream, (N, classes)."""
        if stream not in self._counts:
            reader = side.mask_reader
            # Part by part: two of them may read the same files by other label maps.
            counts = [
                class_counts(
                    of_part,
                    len(self.classes),
                    read_mask=reader.read_ids,
                    to_classes=reader.to_classes,
                    mask_file=reader.file,
                    key=reader.describe(part),
                    title=f"{stream}/{part}" if part else stream,
                    workers=None if self.workers else 0,
                    skip_bad_files=self.skip_bad_files,
                )
                for part, of_part in side.by_part(names).items()
            ]
            self._counts[stream] = np.concatenate(counts)
            left_out = left_out_classes(self._counts[stream], sampling, self.classes)
            if left_out:
                rank_zero_info(f"{stream}: no draw asks for {'; '.join(left_out)}.")
        return self._counts[stream]

    def order(self, stream: StreamName, names: Names, side: Side, sampling: RareClassSampling | None) -> DrawOrder:
        """Returns the order of a stream; where it has masks and a sampling is given, rare classes are drawn."""
        parts = side.by_part(names)
        given, weights = self.weights[side.role], None
        if given is not None:
            weight_of = dict(zip(side.parts, given, strict=True))
            weights = [weight_of[part] for part in parts]
            without = [part for part in weight_of if part not in parts]
            if without:
                rank_zero_warn(f"data.{side.role}_weights: the stream {stream} has no image of {some(without)}.")
        if stream == "target":
            sampling = None
        return draw_order(
            {part: len(of_part) for part, of_part in parts.items()},
            seed=self.seed,
            stream=stream,
            weights=weights,
            rare_classes=sampling,
            pixels=None if sampling is None else self.count(stream, names, side, sampling),
        )

"""Chooses the images of both domains and has them looked at."""

from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from datamodules import CrossDomainDataModule
from datamodules.batch import DomainBatch, DomainName
from datamodules.dataset import DomainDataset, collate
from datamodules.domain import Split
from datamodules.loaders import WatchedLoader
from datamodules.names import Names
from lightning_app.gap.comparisons import Comparison, Positions, draw_comparisons
from lightning_app.gap.domain_sample import DomainSample
from lightning_app.gap.observer import Observer
from lightning_app.gap.options import GapOptions
from lightning_app.gap.set_sums import SetSums
from lightning_app.pixel_reservoir import PixelReservoir
from lightning_app.writing import printable

COMPARISONS = 10
"""So many times the source is halved."""
PREDICTED = 100
"""Images of each domain that are predicted where predictions stand for labels: to decode takes as long as to encode."""
CLASS_PIXELS = 600
"""Pixels of each class that are kept of a domain."""


class Sampling:
    """The images of both domains that are compared, and which with which.

    Args:
        data: the domains.
        options: what is measured.

    Attributes:
        names: the images of each domain.
        comparisons: which images are compared.
        label_comparisons: which images are compared by their labels: labelled ones of the target, if it has any, or
            else a part of both domains, which is predicted.

    Raises:
        ValueError: if a domain is missing, or has too few images.
    """

    def __init__(self, data: CrossDomainDataModule, options: GapOptions) -> None:
        self._data, self._options = data, options
        roles: tuple[DomainName, ...] = ("source", "target")
        self.names = {role: _chosen(data, role, options) for role in roles}
        self.labelled = {role: self._may_read(role) for role in self.names}
        self.groups = groups = {role: self._groups(role) for role in self.names}
        self.comparisons = draw_comparisons(groups["source"], groups["target"], COMPARISONS, data.seed)
        self._by_labels = {role: self._compared_by_labels(role) for role in roles}
        source, target = (self._by_labels[role] for role in roles)
        drawn = draw_comparisons(
            [groups["source"][image] for image in source],
            [groups["target"][image] for image in target],
            COMPARISONS,
            data.seed,
        )
        self.label_comparisons = [
            Comparison(source[one.first], source[one.second], target[one.target]) for one in drawn
        ]

    def look(self, observer: Observer, console: Console, what: str) -> dict[DomainName, DomainSample]:
        """Looks at all images, with a progress bar.

        Args:
            observer: how.
            console: where the progress is shown.
            what: what the bar says.
        """
        samples = {role: self._empty(role) for role in self.names}
        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            # A path may hold brackets that are no markup, and bytes that are no text.
            task = progress.add_task(escape(printable(what)), total=sum(map(len, self.names.values())))
            for role, sample in samples.items():
                for index, batch in self._batches(role):
                    observer.look(sample, index, batch)
                    progress.advance(task)
        return samples

    def _batches(self, role: DomainName) -> Iterator[tuple[int, DomainBatch]]:
        """Yields the images one by one with their positions, those with a mask first."""
        side, data = self._data.sides[role], self._data
        side.say_conversion(self.names[role], data.channels)
        for with_mask in (True, False):
            positions = [index for index, labelled in enumerate(self.labelled[role]) if labelled == with_mask]
            if not positions:
                continue
            dataset = DomainDataset(
                side.domain,
                role,
                Names(self.names[role][index] for index in positions),
                channels=data.channels,
                read_mask=side.mask_reader if with_mask else None,
            )
            loader = WatchedLoader(dataset, batch_size=1, num_workers=data.workers, collate_fn=collate)
            yield from zip(positions, loader, strict=True)

    def _empty(self, role: DomainName) -> DomainSample:
        def sums(comparisons: Sequence[Comparison]) -> SetSums:
            sets = [one for comparison in comparisons for one in _sets(comparison, role)]
            return SetSums([*sets, np.arange(len(self.names[role]))], len(self.names[role]))

        by_labels = np.zeros(len(self.names[role]), bool)
        by_labels[self._by_labels[role]] = True
        return DomainSample(
            self.names[role],
            self.labelled[role],
            self.groups[role],
            by_labels.tolist(),
            [self._is_predicted and chosen for chosen in by_labels.tolist()],
            sums(self.comparisons),
            sums(self.label_comparisons),
            PixelReservoir(CLASS_PIXELS, len(self._data.classes)),
        )

    @property
    def _is_predicted(self) -> bool:
        """Whether predictions stand for the target's labels."""
        return not any(self.labelled["target"])

    def _compared_by_labels(self, role: DomainName) -> Positions:
        labelled = np.flatnonzero(self.labelled[role])
        # Source images without a mask are of no use, and there may be few with one.
        found = labelled if len(labelled) else np.arange(len(self.names[role]))
        if not self._is_predicted:
            return found
        return found[np.linspace(0, len(found) - 1, min(len(found), PREDICTED)).round().astype(np.intp)]

    def _may_read(self, role: DomainName) -> list[bool]:
        """Tells of each image whether it has a mask that may be read: of target training images, those given."""
        domain, names = self._data.sides[role].domain, self.names[role]
        lacking = set(domain.without_mask(names))
        if role == "target" and self._options.split == "train":
            given = set(self._data.labelled_names)
            return [name in given and name not in lacking for name in names]
        if len(lacking) < len(names):
            domain.check_masks()
        return [name not in lacking for name in names]

    def _groups(self, role: DomainName) -> list[str]:
        domain = self._data.sides[role].domain
        return [f"{domain.part(name)}/{domain.group(name)}" for name in self.names[role]]


def _sets(comparison: Comparison, role: DomainName) -> list[Positions]:
    return [comparison.first, comparison.second] if role == "source" else [comparison.target]


def _chosen(data: CrossDomainDataModule, role: DomainName, options: GapOptions) -> Names:
    if role not in data.sides:
        raise ValueError(f"gap compares two domains, and there is no {role}: set data.{role}.")
    split: Split = options.split
    names = data.sides[role].splits[split]
    least = 2 if role == "source" else 1
    if len(names) < least:
        count = "no image" if not len(names) else "one image"
        why = "the source is compared with itself, which takes two" if role == "source" else "there is nothing to see"
        raise ValueError(f"{role}/{split} has {count}: {why}. Choose another split by --gap.split, or add images.")
    spread = np.linspace(0, len(names) - 1, min(options.images, len(names))).round().astype(int)
    return Names(names[int(index)] for index in spread)

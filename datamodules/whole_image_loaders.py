"""Loaders of whole images, one at a time: what is read outside of training steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader

from datamodules.batch import DomainName
from datamodules.dataset import DomainDataset
from datamodules.domain import Split
from datamodules.loaders import WatchedLoader
from datamodules.names import Names
from datamodules.side import Side


@dataclass(frozen=True)
class WholeImageLoaders:
    """Makes this rank's loaders of whole images.

    Attributes:
        channels: channels of the images that the network sees.
        rank: this rank.
        world_size: the number of ranks.
        options: of every loader, such as ``num_workers``.
        skip_bad_files: whether a file that cannot be read is skipped where no score depends on it.
    """

    channels: int
    rank: int
    world_size: int
    options: Mapping[str, Any]
    skip_bad_files: bool

    def scored(
        self, sides: Mapping[DomainName, Side], split: Split, labelled: Mapping[DomainName, Sequence[str]]
    ) -> list[DataLoader[Any]]:
        """Returns a loader for each part of each domain that is scored, and says which are not.

        Args:
            sides: the domains.
            split: the split that is scored.
            labelled: the domains that have labelled images in it, with the parts that do.

        Raises:
            ValueError: if a part has masks for some of its images only, or fewer images than there are ranks.
        """
        loaders: list[DataLoader[Any]] = []
        for role, side in sides.items():
            if role not in labelled:
                why = "no image has a mask" if len(side.splits[split]) else "it is empty"
                rank_zero_info(f"{role}/{split} is left out of the scores: {why}.")
                continue
            for part, names in side.by_part(side.splits[split]).items():
                what = f"{role}/{part}/{split}" if part else f"{role}/{split}"
                if part not in labelled[role]:
                    rank_zero_info(f"{what} is left out of the scores: no image has a mask.")
                    continue
                side.require_masks(names, f"{what} is scored with all its masks")
                rank_zero_info(f"{what}: scores read {len(names)} images and their masks.")
                loaders.append(self._shared(self._images(side, names, masks=True), what))
        return loaders

    def unlabelled(self, target: Side, names: Names) -> DataLoader[Any]:
        """Returns a loader of the target's images for the scores that need no labels.

        Args:
            target: the target.
            names: its images, of ``val`` or, if that is empty, of ``train``.
        """
        split: Split = "val" if len(target.splits["val"]) else "train"
        rank_zero_info(f"target/{split}: scores that need no labels read {len(names)} images.")
        skip = split == "train" and self.skip_bad_files
        return self._shared(self._images(target, names, skip_bad_files=skip), f"target/{split}")

    def predicted(self, side: Side, names: Names, what: str) -> DataLoader[Any]:
        """Returns a loader of the images to predict.

        Args:
            side: what reads them.
            names: their names in it.
            what: what they are called in an error.
        """
        return self._shared(self._images(side, names), what)

    def passed_over(self, target: Side, names: Names, seed: int) -> DataLoader[Any]:
        """Returns a loader of target training images in an order of chance; a rank may have none.

        Args:
            target: the target.
            names: its training images.
            seed: decides the order.
        """
        order = np.random.default_rng([seed, len(names)]).permutation(len(names))[self.rank :: self.world_size]
        dataset = self._images(target, names, skip_bad_files=self.skip_bad_files)
        return WatchedLoader(dataset, batch_size=1, sampler=order.tolist(), **self.options)

    def labelled(self, target: Side, names: Names) -> DataLoader[Any]:
        """Returns a loader of images with their masks, all of them on every rank.

        Args:
            target: the target.
            names: its images whose labels are given.
        """
        return WatchedLoader(self._images(target, names, masks=True), batch_size=1, **self.options)

    def _images(self, side: Side, names: Names, *, masks: bool = False, skip_bad_files: bool = False) -> DomainDataset:
        side.say_conversion(names, self.channels)
        return DomainDataset(
            side.domain,
            side.role,
            names,
            channels=self.channels,
            read_mask=side.mask_reader if masks else None,
            # The stream's name decides what is read in place of a bad file.
            stream="target" if skip_bad_files else None,
            skip_bad_files=skip_bad_files,
        )

    def _shared(self, dataset: DomainDataset, what: str) -> DataLoader[Any]:
        sampler = None
        if self.world_size > 1:
            if len(dataset) < self.world_size:
                raise ValueError(
                    f"{what} has fewer images ({len(dataset)}) than there are ranks ({self.world_size}): give it more, "
                    "or evaluate on fewer devices."
                )
            # The usual sampler repeats images until all ranks have as many, and the scores would count them twice.
            sampler = UnrepeatedDistributedSampler(dataset, num_replicas=self.world_size, rank=self.rank, shuffle=False)
        return WatchedLoader(dataset, batch_size=1, sampler=sampler, **self.options)

"""A source domain and a target domain as Lightning wants them."""

import math
import signal
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar, cast, get_args

import cv2
import numpy as np
from lightning import LightningDataModule
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch.utils.data import DataLoader

from datamodules.batch import IGNORE, DomainName, StreamName
from datamodules.dataset import DomainDataset, MaskReader, collate, to_device_values
from datamodules.domain import Domain, Split
from datamodules.folder_domain import FolderDomain
from datamodules.images_to_predict import images_to_predict
from datamodules.names import some
from datamodules.reading import CHANNEL_CONVERSIONS
from datamodules.samplers import DrawLoader, DrawSampler
from datamodules.target_labels import choose_labels, parse_labels
from datamodules.transforms import Augmentation, TrainTransform

MOST_MASKS_READ = 200
"""At most so many training masks are read at start in search of absent classes."""


class CrossDomainDataModule(LightningDataModule):
    """Feeds a strategy the streams that it declares, and the scores the labelled images of each domain.

    Training opens no target label that ``labels`` does not give. Validation and test read those of their splits.

    Args:
        source: the labelled domain, or the root of a ``FolderDomain``.
        target: the domain to learn, or the root of a ``FolderDomain``.
        classes: the class names, in the order of the class ids. Not needed for a domain that knows its own.
        labels: the target labels that training may use: ``none``, a number of images (chosen by the seed, the smaller
            choices within the larger), ``all``, or a text file of image names.
        channels: channels of the images that the network sees. Grey images are replicated and RGB images made grey
            where that fits them.
        batch_size: images of a batch, in each stream and on each rank.
        crop: (height, width) of the training images, in pixels.
        scale: smallest and largest factor by which training images are scaled.
        augmentation: ``none`` crops training images; ``weak`` also scales and flips them; ``strong`` also changes
            their colours, blurs them and adds noise.
        steps_per_epoch: batches of an epoch; by default one pass over the longest labelled stream in use, or else
            over the target.
        workers: processes that read each stream; 0 reads in the main process.
        seed: decides the order, the augmentation and the choice of labels; at least 0.
        predict: what is predicted: a split such as ``target/test``, a folder of images or one image.

    Raises:
        ValueError: if the classes are not given or contradict a domain's, or if a number is out of bounds.
    """

    _keys: ClassVar[dict[DomainName, str]] = {
        "source": "data.init_args.source",
        "target": "data.init_args.target",
    }

    def __init__(
        self,
        source: Domain | str | None = None,
        target: Domain | str | None = None,
        classes: list[str] | None = None,
        labels: int | str | None = "none",
        channels: int = 3,
        batch_size: int = 8,
        crop: tuple[int, int] = (256, 256),
        scale: tuple[float, float] = (0.5, 2.0),
        augmentation: Augmentation = "weak",
        steps_per_epoch: int | None = None,
        workers: int = 2,
        seed: int = 0,
        predict: str = "target/test",
    ) -> None:
        super().__init__()
        given: dict[DomainName, Domain | str | None] = {"source": source, "target": target}
        self.domains: dict[DomainName, Domain] = {
            role: FolderDomain(domain) if isinstance(domain, str) else domain
            for role, domain in given.items()
            if domain is not None
        }
        self.classes = _agreed_classes(self.domains, classes)
        for key, value, least in (
            ("channels", channels, 1),
            ("batch_size", batch_size, 1),
            ("steps_per_epoch", 1 if steps_per_epoch is None else steps_per_epoch, 1),
            ("workers", workers, 0),
            ("seed", seed, 0),
        ):
            if value < least:
                raise ValueError(f"data.{key} is {value}; it is at least {least}.")
        self.labels = parse_labels(labels)
        self.channels = channels
        self.batch_size = batch_size
        self.transform = TrainTransform(crop, scale, augmentation, channels)
        self.steps_per_epoch = steps_per_epoch
        self.workers = workers
        self.seed = seed
        self.predict = predict
        self._checked: set[DomainName] = set()

    def setup(self, stage: str) -> None:
        """Warns of classes that no training mask holds, before a fit."""
        # On every rank: a broken mask then stops them all, and none waits for the others.
        if stage == "fit" and (self.trainer is None or self._module().strategy is not None):
            self.absent_classes()

    def splits(self) -> dict[DomainName, dict[Split, list[str]]]:
        """Returns the names of the images of each domain and split.

        Raises:
            FileNotFoundError: if a folder or a listed image does not exist.
            ValueError: if a list or the names contradict themselves.
        """
        return self._splits

    @cached_property
    def labelled_names(self) -> list[str]:
        """The target training images whose labels are given for training, sorted.

        Raises:
            FileNotFoundError: if the list file does not exist.
            ValueError: if labels are asked for that do not exist.
        """
        if self.labels == "none":
            return []
        if "target" not in self.domains:
            raise ValueError(f"data.labels is {self.labels}, but there is no target domain.")
        chosen = choose_labels(self.labels, self._splits["target"]["train"], self.domains["target"], self.seed)
        self._require_masks("target", chosen, f"data.labels is {self.labels}")
        return sorted(chosen)

    @property
    def labels_used(self) -> int:
        """The number of target labels that training reads: 0 if the strategy takes none."""
        if self.trainer is not None:
            _, required, optional = self._declared()
            if "labelled_target" not in {*required, *optional}:
                return 0
        return len(self.labelled_names)

    def streams(
        self, required: Iterable[StreamName], optional: Iterable[StreamName] = (), strategy: str = "The strategy"
    ) -> dict[StreamName, list[str]]:
        """Returns the images of the streams that a strategy gets: the required ones, and the optional ones there are.

        Args:
            required: streams without which it cannot train.
            optional: streams that it can use.
            strategy: its name, for errors.

        Raises:
            ValueError: if a required stream is not to be had, or a source image has no mask.
        """
        required, optional = list(required), list(optional)
        for stream in (*required, *optional):
            if stream not in get_args(StreamName):
                raise ValueError(
                    f"{strategy} declares the stream {stream!r}; streams are {', '.join(get_args(StreamName))}."
                )
        names: dict[StreamName, list[str]] = {}
        for stream in get_args(StreamName):
            if stream in required or stream in optional:
                found = self._stream(stream)
                if found:
                    names[stream] = found
                elif stream in required:
                    raise ValueError(self._lack(stream, strategy))
        return names

    def evaluation_domains(self, split: Split) -> list[DomainName]:
        """Returns the domains that have labelled images in a split, and so can be scored."""
        return [
            role
            for role, domain in self.domains.items()
            if any(domain.has_mask(name) for name in self._splits[role][split])
        ]

    def absent_classes(self) -> list[str]:
        """Returns the classes that none of the masks given for training holds, and warns of them.

        Reads until all classes are seen, and at most 200 masks.
        """
        masks = self._masks_given()
        ids: set[int] = set()
        for role, name in masks:
            ids |= set(np.flatnonzero(np.bincount(self._mask_reader(role)(name).ravel())).tolist())
            if len(ids - {IGNORE}) == len(self.classes):
                break
        absent = [name for index, name in enumerate(self.classes) if index not in ids]
        if masks and absent:
            hint = (
                " They hold only 0 and 255: if 255 is a class, set label_map: {255: 1}." if ids == {0, IGNORE} else ""
            )
            rank_zero_warn(f"classes absent from the {len(masks)} training masks read: {', '.join(absent)}.{hint}")
        return absent

    def train_dataloader(self) -> CombinedLoader:
        """Returns batches of the streams that the trained module's strategy declares.

        Raises:
            ValueError: if a required stream is not to be had.
        """
        strategy, required, optional = self._declared()
        streams = self.streams(required, optional, strategy)
        if not streams:
            raise ValueError(f"{strategy} declares no stream that the data has.")
        if self.labelled_names and "labelled_target" not in streams:
            rank_zero_info(f"data.labels is {self.labels}, but {strategy} uses no target labels.")
        rank, world_size = self._rank_and_world_size()
        together = self.batch_size * world_size
        for stream, names in streams.items():
            if len(names) < together:
                rank_zero_warn(
                    f"stream {stream} has fewer images ({len(names)}) than a batch on all ranks ({together}): "
                    "they repeat within it."
                )
        steps = self.steps_per_epoch
        if steps is None:
            labelled = [names for stream, names in streams.items() if stream != "target"]
            steps = math.ceil(max(len(names) for names in labelled or streams.values()) / together)
        module = self._module()
        loaders: dict[StreamName, DataLoader[Any]] = {}
        for stream, names in streams.items():
            role: DomainName = "source" if stream == "source" else "target"
            self._check_channels(role, names)
            dataset = DomainDataset(
                self.domains[role],
                role,
                names,
                channels=self.channels,
                read_mask=None if stream == "target" else self._mask_reader(role),
                transform=self.transform,
                seed=self.seed,
                stream=stream,
            )
            sampler = DrawSampler(
                dataset,
                stream=stream,
                batch_size=self.batch_size,
                steps_per_epoch=steps,
                consumed_batches=lambda: int(module.consumed_batches),
                seed=self.seed,
                rank=rank,
                world_size=world_size,
            )
            loaders[stream] = DrawLoader(
                dataset,
                batch_size=self.batch_size,
                sampler=sampler,
                persistent_workers=self.workers > 0,
                **self._loader_options(),
            )
        return CombinedLoader(loaders, mode="min_size")

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """Returns one loader for each domain that has labelled images in ``val``: whole images, one at a time."""
        return self._evaluation_loaders("val")

    def test_dataloader(self) -> list[DataLoader[Any]]:
        """Returns one loader for each domain that has labelled images in ``test``: whole images, one at a time."""
        return self._evaluation_loaders("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """Returns a loader of the images to predict: whole, one at a time, without masks.

        Raises:
            FileNotFoundError: if the folder or the image does not exist.
            ValueError: if there is nothing to predict.
        """
        role, domain, names = self._to_predict()
        self._check_channels(role, names, domain)
        return self._whole_image_loader(DomainDataset(domain, role, names, channels=self.channels), self.predict)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:  # noqa: ANN401 - as in Lightning
        """Makes float images and int64 masks; images to predict stay as they are, for the windows to be cut from."""
        if self.trainer is not None and self.trainer.predicting:
            return batch
        if "image" in batch:
            return to_device_values(batch)
        return {stream: to_device_values(images) for stream, images in batch.items()}

    @cached_property
    def _splits(self) -> dict[DomainName, dict[Split, list[str]]]:
        splits: dict[DomainName, dict[Split, list[str]]] = {}
        for role, domain in self.domains.items():
            try:
                splits[role] = {split: list(domain.names(split)) for split in get_args(Split)}
            except FileNotFoundError as error:
                raise FileNotFoundError(f"{self._keys[role]}: {error}") from error
            except ValueError as error:
                raise ValueError(f"{self._keys[role]}: {error}") from error
        return splits

    def _stream(self, stream: StreamName) -> list[str]:
        if stream == "labelled_target":
            return self.labelled_names
        if stream not in self.domains:
            return []
        names = self._splits[stream]["train"]
        if stream == "source":
            self._require_masks("source", names, "source images are trained with their masks")
        return names

    def _lack(self, stream: StreamName, strategy: str) -> str:
        role: DomainName = "source" if stream == "source" else "target"
        if stream == "labelled_target":
            needs = f"{strategy} requires labelled target images, but"
            if role in self.domains:
                return f"{needs} data.labels is {self.labels}. Set data.labels to a number, a list file or all."
        else:
            needs = f"{strategy} requires {role} images, but"
        if role not in self.domains:
            return f"{needs} there is no {role} domain: data.{role} is not given."
        return f"{needs} the split {role}/train is empty."

    def _require_masks(self, role: DomainName, names: Sequence[str], why: str) -> None:
        self.domains[role].check_masks()
        lacking = [name for name in names if not self.domains[role].has_mask(name)]
        if lacking:
            raise ValueError(f"{role} images without a mask: {some(lacking)}; {why}.")

    def _mask_reader(self, role: DomainName) -> MaskReader:
        label_map = f"{self._keys[role]}.init_args.label_map"
        return MaskReader(self.domains[role], role, len(self.classes), label_map)

    def _masks_given(self) -> list[tuple[DomainName, str]]:
        if self.trainer is None:
            streams = self.streams((), ("source", "labelled_target"))
        else:
            strategy, required, optional = self._declared()
            streams = self.streams(required, optional, strategy)
        given: list[tuple[DomainName, str]] = [("target", name) for name in streams.get("labelled_target", [])]
        given += [("source", name) for name in streams.get("source", [])]
        return given[:: math.ceil(len(given) / MOST_MASKS_READ) or 1]

    def _check_channels(self, role: DomainName, names: Sequence[str], domain: Domain | None = None) -> None:
        # Said here and not where it happens, or every worker would say it.
        if role in self._checked:
            return
        self._checked.add(role)
        domain = domain or self.domains[role]
        for name in names[:: math.ceil(len(names) / 4)]:
            found = domain.read_image(name).shape[2]
            if (found, self.channels) in CHANNEL_CONVERSIONS:
                rank_zero_warn(
                    f"{role}: {CHANNEL_CONVERSIONS[found, self.channels]}, because data.channels is {self.channels}."
                )
                return

    def _evaluation_loaders(self, split: Split) -> list[DataLoader[Any]]:
        loaders = []
        roles = self.evaluation_domains(split)
        for role in self.domains:
            names = self._splits[role][split]
            if role not in roles:
                why = "no image has a mask" if names else "it is empty"
                rank_zero_info(f"{role}/{split} is left out of the scores: {why}.")
                continue
            self._require_masks(role, names, f"{role}/{split} is scored with all its masks")
            self._check_channels(role, names)
            rank_zero_info(f"{role}/{split}: scores read {len(names)} images and their masks.")
            dataset = DomainDataset(
                self.domains[role], role, names, channels=self.channels, read_mask=self._mask_reader(role)
            )
            loaders.append(self._whole_image_loader(dataset, f"{role}/{split}"))
        if not loaders and not (self.trainer is not None and self.trainer.state.fn == "fit"):
            raise ValueError(
                f"no labelled images to score: the split {split!r} is empty or without masks in "
                f"{' and '.join(self.domains) or 'the data, which has no domain'}."
            )
        return loaders

    def _to_predict(self) -> tuple[DomainName, Domain, list[str]]:
        role, _, split = self.predict.partition("/")
        if role in get_args(DomainName) and split in get_args(Split):
            if role not in self.domains:
                raise ValueError(f"data.predict is {self.predict}, but there is no {role} domain.")
            names = self._splits[role][cast(Split, split)]
            if not names:
                raise ValueError(f"data.predict is {self.predict}, but this split is empty.")
            return role, self.domains[role], names
        target = self.domains.get("target")
        value_range = target.value_range if isinstance(target, FolderDomain) else None
        domain, names = images_to_predict(self.predict, value_range)
        return "target", domain, names

    def _whole_image_loader(self, dataset: DomainDataset, what: str) -> DataLoader[Any]:
        rank, world_size = self._rank_and_world_size()
        sampler = None
        if world_size > 1:
            if len(dataset) < world_size:
                raise ValueError(f"{what} has fewer images ({len(dataset)}) than there are ranks ({world_size}).")
            # The usual sampler repeats images until all ranks have as many, and the scores would count them twice.
            sampler = UnrepeatedDistributedSampler(dataset, num_replicas=world_size, rank=rank, shuffle=False)
        return DataLoader(dataset, batch_size=1, sampler=sampler, **self._loader_options())

    def _loader_options(self) -> dict[str, Any]:
        return {
            "num_workers": self.workers,
            "collate_fn": collate,
            "worker_init_fn": _prepare_worker,
            "pin_memory": self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        }

    def _module(self) -> Any:  # noqa: ANN401 - any LightningModule with a strategy
        if self.trainer is None:
            raise ValueError("training batches depend on the strategy: attach the data module to a Trainer first.")
        return self.trainer.lightning_module

    def _declared(self) -> tuple[str, list[StreamName], list[StreamName]]:
        strategy = self._module().strategy
        return strategy.name, list(strategy.required_streams), list(strategy.optional_streams)

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


def _agreed_classes(domains: dict[DomainName, Domain], classes: list[str] | None) -> list[str]:
    known: dict[str, list[str]] = {} if classes is None else {"data.classes": list(classes)}
    known |= {f"the {role} domain": list(domain.classes) for role, domain in domains.items() if domain.classes}
    if not known:
        if domains:
            raise ValueError("data.classes is not given. Set it to the class names, in the order of the class ids.")
        return []
    (first, names), *others = known.items()
    for other, its_names in others:
        if its_names != names:
            raise ValueError(f"{first} has the classes {names}, but {other} has {its_names}.")
    if len(set(names)) < len(names):
        raise ValueError(f"{first} names classes twice: {', '.join(sorted({n for n in names if names.count(n) > 1}))}.")
    if not 2 <= len(names) <= IGNORE:
        raise ValueError(f"{first} has {len(names)} classes; there are at least 2 and at most {IGNORE}.")
    return names


def _prepare_worker(worker: int) -> None:
    # Each worker would start as many threads of OpenCV as there are cores.
    cv2.setNumThreads(0)
    # Ctrl-C and a scheduler's SIGTERM reach the whole group of processes; workers must outlive the step that the main
    # process finishes then. A second SIGTERM, which is how leftover workers are ended, does end them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))

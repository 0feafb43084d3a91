"""A source domain and a target domain as Lightning wants them."""

import math
import warnings
from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args

from albumentations import BasicTransform
from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch.utils.data import DataLoader

from datamodules.absent_classes import absent_classes
from datamodules.augmentations import Augmentation, Strength
from datamodules.batch import DomainName, RareClassSampling, StreamName
from datamodules.classes import agreed_classes
from datamodules.dataset import DomainDataset, collate, to_device_values
from datamodules.domain import Domain, Split
from datamodules.domain_setting import DomainSetting, as_domain
from datamodules.georeference import Georeference
from datamodules.images_to_predict import images_to_predict
from datamodules.loaders import DrawLoader
from datamodules.names import Names
from datamodules.samplers import DrawSampler
from datamodules.side import Side
from datamodules.skipped_files import SkippedFiles
from datamodules.stream_orders import StreamOrders
from datamodules.training_streams import TrainingStreams, count_batches
from datamodules.transforms import Scale, TrainTransform
from datamodules.unlabelled_images import unlabelled_images
from datamodules.whole_image_loaders import WholeImageLoaders


class CrossDomainDataModule(LightningDataModule):
    """Feeds a strategy the streams that it declares, and the scores the labelled images of each domain.

    Training opens no target label that ``labels`` does not give. Validation and test read those of their splits. A
    target without labels is validated all the same, for the scores that need none.

    Args:
        source: the labelled domain, or the root of a ``FolderDomain``, or a list of these.
        target: the domain to learn, or the root of a ``FolderDomain``, or a list of these.
        classes: the class names, in the order of the class ids. Not needed where the domains know the same classes.
        labels: the target labels that training may use: ``none``, ``all``, a number of images, a share such as
            ``5%``, a number of groups such as ``3 groups`` (all chosen by the seed, the smaller choices within the
            larger), or a text file of image names.
        source_weights: how often each of several sources is drawn, relative to the others. By default each image is
            drawn as often as any other.
        target_weights: the same for several targets.
        channels: how many the network sees: grey images are replicated and RGB ones made grey where that fits.
        batch_size: images of a batch, in each stream and on each rank.
        crop: (height, width) of the training images, in pixels.
        scale: smallest and largest factor by which training images are scaled, or a mapping that gives ``source`` and
            ``target`` factors of their own. Images that are scored keep their size.
        augmentation: what is done to training images: ``driving`` flips them, ``aerial`` and ``microscopy`` also turn
            them, ``none`` only crops them; or a list of transforms of albumentations, by ``class_path``.
        strength: ``weak`` moves pixels; ``strong`` also changes colours, blurs and adds noise; or a mapping as for
            ``scale``: under a teacher the target is best ``weak``. A list of transforms is applied whole.
        largest_class_share: the largest share of a crop's labelled pixels that one class shall have, in (0, 1]: other
            crops are tried, at most 10. 1 takes the first crop.
        rare_class_sampling: draws images and crops of rare classes more often, in the labelled streams.
        strong_view: whether the stream ``target`` also holds a second view of each crop, ``strong``, whose colours are
            changed.
        on_bad_file: what training does with a file that cannot be read: ``raise``, or ``skip``, which takes another
            image and counts. Validation and test always raise.
        steps_per_epoch: batches of an epoch; by default one pass over the longest labelled stream in use, or else
            over the target.
        workers: processes that read each stream; 0 reads in the main process.
        seed: decides the order, the augmentation and the choice of labels; at least 0.
        predict: what is predicted: a split such as ``target/test``, a folder of images or one image.

    Raises:
        ValueError: if the classes are not given or do not fit a domain's, or if a number is out of bounds.
    """

    _keys: ClassVar[dict[DomainName, str]] = {"source": "data.init_args.source", "target": "data.init_args.target"}

    def __init__(
        self,
        source: DomainSetting | None = None,
        target: DomainSetting | None = None,
        classes: list[str] | None = None,
        labels: int | float | str | None = "none",
        source_weights: list[float] | None = None,
        target_weights: list[float] | None = None,
        channels: int = 3,
        batch_size: int = 8,
        crop: tuple[int, int] = (256, 256),
        scale: Scale | dict[DomainName, Scale] = (0.5, 2.0),
        augmentation: Augmentation | list[BasicTransform] = "driving",
        strength: Strength | dict[DomainName, Strength] = "weak",
        largest_class_share: float = 1.0,
        rare_class_sampling: RareClassSampling | None = None,
        strong_view: bool = False,
        on_bad_file: Literal["raise", "skip"] = "raise",
        steps_per_epoch: int | None = None,
        workers: int = 2,
        seed: int = 0,
        predict: str = "target/test",
    ) -> None:
        super().__init__()
        for key, value, least in (
            ("channels", channels, 1),
            ("batch_size", batch_size, 1),
            ("steps_per_epoch", 1 if steps_per_epoch is None else steps_per_epoch, 1),
            ("workers", workers, 0),
            ("seed", seed, 0),
        ):
            if value < least:
                raise ValueError(f"data.{key} is {value}; it is at least {least}.")
        given: dict[DomainName, DomainSetting | None] = {"source": source, "target": target}
        domains = {role: as_domain(setting) for role, setting in given.items() if setting is not None}
        self.classes = agreed_classes(domains, classes)
        self.sides = {role: Side(role, domain, self._keys[role], self.classes) for role, domain in domains.items()}
        self.labels = labels
        self._streams = TrainingStreams(self.sides, labels, seed)
        self.channels = channels
        self.batch_size = batch_size
        self.transforms: dict[DomainName, TrainTransform] = {
            role: TrainTransform(crop, scale, augmentation, channels, strength, largest_class_share, role)
            for role in get_args(DomainName)
        }
        if strong_view:
            self.transforms["target"].check_strong_view("data.strong_view is true")
        if rare_class_sampling is not None:
            self._check_fits_crop(rare_class_sampling, "data.rare_class_sampling.minimum_crop_pixels is", "Lower it.")
        self.rare_class_sampling = rare_class_sampling
        self.strong_view = strong_view
        self.on_bad_file = on_bad_file
        self.skipped = SkippedFiles()
        self.steps_per_epoch = steps_per_epoch
        self.workers = workers
        self.seed = seed
        self.predict = predict
        self._orders = StreamOrders(
            {"source": source_weights, "target": target_weights},
            {role: len(side.parts) for role, side in self.sides.items()},
            self.classes,
            seed=seed,
            workers=workers,
            skip_bad_files=on_bad_file == "skip",
        )

    def prepare_data(self) -> None:
        """Counts the pixels of the classes where rare ones are drawn more often, once on each machine."""
        if self.trainer is None or self.trainer.state.fn != "fit" or self._module().strategy is None:
            return
        sampling = self._rare_classes()
        if sampling is None:
            return
        for stream, names in self._declared_streams().items():
            if stream != "target":
                self._orders.count(stream, names, self._side(stream), sampling)

    def setup(self, stage: str) -> None:
        """Warns of classes that no training mask holds, before a fit."""
        # On every rank: a broken mask then stops them all, and none waits for the others.
        if stage == "fit" and (self.trainer is None or self._module().strategy is not None):
            self.absent_classes()

    def teardown(self, stage: str) -> None:
        """Says what was skipped, on the rank that skipped it."""
        summary = self.skipped.summary()
        if summary is not None and stage == "fit":
            warnings.warn(summary, stacklevel=1)

    def on_exception(self, exception: BaseException) -> None:
        """Says what was skipped before a fit failed."""
        self.teardown("fit")

    @property
    def domains(self) -> dict[DomainName, Domain]:
        """The domain of each role."""
        return {role: side.domain for role, side in self.sides.items()}

    def splits(self) -> dict[DomainName, dict[Split, Names]]:
        """Returns the names of the images of each domain and split.

        Raises:
            FileNotFoundError: if a folder or a listed image does not exist.
            ValueError: if a list or the names contradict themselves.
        """
        return {role: side.splits for role, side in self.sides.items()}

    @property
    def shared_classes(self) -> list[str]:
        """The classes that the masks of both domains can hold; all of them where there is one domain."""
        shown = [side.classes_shown for side in self.sides.values()] or [set(range(len(self.classes)))]
        return [name for class_id, name in enumerate(self.classes) if class_id in set.intersection(*shown)]

    @property
    def labelled_names(self) -> Names:
        """The target training images whose labels are given for training, as in ``TrainingStreams``."""
        return self._streams.labelled_names

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
    ) -> dict[StreamName, Names]:
        """Returns the images of the streams that a strategy gets, as ``TrainingStreams.choose`` does."""
        return self._streams.choose(required, optional, strategy)

    def scored(self, split: Split) -> dict[DomainName, list[str]]:
        """Returns the domains that have labelled images in a split and so can be scored, with their parts."""
        return {role: parts for role, side in self.sides.items() if (parts := side.labelled_parts(split))}

    def unlabelled(self) -> Names:
        """Returns the target images that are validated without masks, as ``unlabelled_images`` does.

        There are none if that are fewer than there are ranks.
        """
        names = unlabelled_images(self.sides["target"]) if "target" in self.sides else Names()
        return names if len(names) >= self._rank_and_world_size()[1] else Names()

    def absent_classes(self) -> list[str]:
        """Returns the classes that none of the masks given for training holds, and warns of them."""
        streams = self.streams((), ("source", "labelled_target")) if self.trainer is None else self._declared_streams()
        return absent_classes(self.sides, streams, self.classes, skip_bad_files=self.on_bad_file == "skip")

    def training_dataset(self, stream: StreamName, names: Names) -> DomainDataset:
        """Returns the augmented crops of a stream, by draw.

        Args:
            stream: the stream; only a labelled one has masks.
            names: its images.
        """
        side, sampling = self._side(stream), self._rare_classes()
        return DomainDataset(
            side.domain,
            side.role,
            names,
            channels=self.channels,
            read_mask=None if stream == "target" else side.mask_reader,
            transform=self.transforms[side.role],
            seed=self.seed,
            stream=stream,
            wanted_pixels=0 if sampling is None else sampling.minimum_crop_pixels,
            strong_view=self.strong_view and stream == "target",
            skip_bad_files=self.on_bad_file == "skip",
        )

    def train_dataloader(self) -> CombinedLoader:
        """Returns batches of the streams that the trained module's strategy declares.

        Raises:
            ValueError: if a required stream is not to be had.
        """
        streams, strategy = self._declared_streams(), self._declared()[0]
        if not streams:
            raise ValueError(f"{strategy} declares no stream that the data has.")
        if len(self.labelled_names) and "labelled_target" not in streams:
            rank_zero_info(f"data.labels is {self.labels}, but {strategy} uses no target labels.")
        rank, world_size = self._rank_and_world_size()
        steps = count_batches(streams, self.batch_size * world_size)
        module = self._module()
        loaders: dict[StreamName, DataLoader[Any]] = {}
        for stream, names in streams.items():
            side = self._side(stream)
            side.say_conversion(names, self.channels)
            dataset = self.training_dataset(stream, names)
            sampler = DrawSampler(
                dataset,
                self._orders.order(stream, names, side, self._rare_classes()),
                batch_size=self.batch_size,
                steps_per_epoch=self.steps_per_epoch or steps,
                consumed_batches=lambda: int(module.consumed_batches),
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

    def target_images(self) -> DataLoader[Any]:
        """Returns this rank's share of the target training images: whole, one at a time, in an order of chance.

        Raises:
            ValueError: if there are none on any rank.
        """
        names = self.streams(["target"], strategy=self._declared()[0])["target"]
        return self._whole_images().passed_over(self._side("target"), names, self.seed)

    def labelled_images(self) -> DataLoader[Any]:
        """Returns the target training images whose labels are given for training: whole, one at a time, with masks."""
        return self._whole_images().labelled(self._side("labelled_target"), self.labelled_names)

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """Returns a loader for each domain that has labelled images in ``val``: whole images, one at a time.

        Behind them comes one of the target's images that are validated without masks, if there are any.
        """
        return self._evaluation_loaders("val")

    def test_dataloader(self) -> list[DataLoader[Any]]:
        """Returns a loader for each domain that has labelled images in ``test``: whole images, one at a time."""
        return self._evaluation_loaders("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """Returns a loader of the images to predict: whole, one at a time, without masks.

        Raises:
            FileNotFoundError: if the folder or the image does not exist.
            ValueError: if there is nothing to predict.
        """
        return self._whole_images().predicted(*self._to_predict, self.predict)

    def georeference(self, name: str) -> Georeference | None:
        """Returns where on the earth an image to predict lies, or None if its file does not say."""
        return self._to_predict[0].domain.georeference(name)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:  # noqa: ANN401 - as in Lightning
        """Makes float images and int64 masks; images to predict stay as they are, for the windows to be cut from."""
        if self.trainer is not None and self.trainer.predicting:
            return batch
        if "image" in batch:
            self.skipped.add("target", batch.pop("skipped", []))
            return to_device_values(batch)
        for stream, images in batch.items():
            self.skipped.add(stream, images.pop("skipped", []))
        return {stream: to_device_values(images) for stream, images in batch.items()}

    def _side(self, stream: StreamName) -> Side:
        return self.sides["source" if stream == "source" else "target"]

    def _rare_classes(self) -> RareClassSampling | None:
        """Returns what the configuration asks for, or else the strategy."""
        if self.rare_class_sampling is not None or self.trainer is None:
            return self.rare_class_sampling
        strategy = self._module().strategy
        requests = getattr(strategy, "requests", ())
        asked = next((one for one in requests if isinstance(one, RareClassSampling)), None)
        if asked is not None:
            mend = "Set data.rare_class_sampling to numbers for crops and images of such a size."
            self._check_fits_crop(asked, f"{strategy.name} asks for rare_class_sampling.minimum_crop_pixels", mend)
        return asked

    def _check_fits_crop(self, sampling: RareClassSampling, what: str, mend: str) -> None:
        pixels = math.prod(self.transforms["source"].crop)
        if sampling.minimum_crop_pixels > pixels:
            raise ValueError(f"{what} {sampling.minimum_crop_pixels}, more than a crop has ({pixels}). {mend}")

    def _evaluation_loaders(self, split: Split) -> list[DataLoader[Any]]:
        whole_images = self._whole_images()
        loaders = whole_images.scored(self.sides, split, self.scored(split))
        unlabelled = self.unlabelled() if split == "val" else Names()
        if len(unlabelled):
            loaders.append(whole_images.unlabelled(self.sides["target"], unlabelled))
        if not loaders and not (self.trainer is not None and self.trainer.state.fn == "fit"):
            raise ValueError(
                f"no labelled images to score: the split {split!r} is empty or without masks in "
                f"{' and '.join(self.sides) or 'the data, which has no domain'}."
            )
        return loaders

    def _whole_images(self) -> WholeImageLoaders:
        rank, world_size = self._rank_and_world_size()
        skip = self.on_bad_file == "skip"
        return WholeImageLoaders(self.channels, rank, world_size, self._loader_options(), skip_bad_files=skip)

    @cached_property
    def _to_predict(self) -> tuple[Side, Names]:
        return images_to_predict(self.predict, self.sides, self.classes)

    def _loader_options(self) -> dict[str, Any]:
        return {
            "num_workers": self.workers,
            "collate_fn": collate,
            "pin_memory": self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        }

    def _module(self) -> Any:  # noqa: ANN401 - any LightningModule with a strategy
        if self.trainer is None:
            raise ValueError("training batches depend on the strategy: attach the data module to a Trainer first.")
        return self.trainer.lightning_module

    def _declared(self) -> tuple[str, list[StreamName], list[StreamName]]:
        strategy = self._module().strategy
        return strategy.name, list(strategy.required_streams), list(strategy.optional_streams)

    def _declared_streams(self) -> dict[StreamName, Names]:
        strategy, required, optional = self._declared()
        return self.streams(required, optional, strategy)

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

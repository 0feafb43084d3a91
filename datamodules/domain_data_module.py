"""One domain as Lightning wants it."""

from typing import ClassVar

from datamodules.batch import DomainName
from datamodules.cross_domain_data_module import CrossDomainDataModule
from datamodules.domain import Domain
from datamodules.transforms import Augmentation


class DomainDataModule(CrossDomainDataModule):
    """Feeds a strategy from one domain alone.

    Args:
        domain: the domain, or the root of a ``FolderDomain``.
        role: what the domain is: all training masks of a ``source`` are used, of a ``target`` those that ``labels``
            gives.
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
        ValueError: if the classes are not given or contradict the domain's, or if a number is out of bounds.
    """

    _keys: ClassVar[dict[DomainName, str]] = {"source": "data.init_args.domain", "target": "data.init_args.domain"}

    def __init__(
        self,
        domain: Domain | str,
        role: DomainName = "target",
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
        super().__init__(
            source=domain if role == "source" else None,
            target=domain if role == "target" else None,
            classes=classes,
            labels=labels,
            channels=channels,
            batch_size=batch_size,
            crop=crop,
            scale=scale,
            augmentation=augmentation,
            steps_per_epoch=steps_per_epoch,
            workers=workers,
            seed=seed,
            predict=predict,
        )

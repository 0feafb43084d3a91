"""Class mix with rare classes drawn more often, and an encoder that is held to its pretrained features."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from datamodules.batch import Batch, RareClassSampling
from strategies.base import Network, Step
from strategies.class_mix import ClassMix, Mix
from strategies.components.criteria import Criterion
from strategies.components.feature_distance import class_cells, feature_distance
from strategies.components.pretrained_encoder import PretrainedEncoder
from strategies.components.strong_augmentation import StrongAugmentation
from strategies.mean_teacher import Weighting

CITYSCAPES_THINGS = (
    "traffic light",
    "traffic sign",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)


class DAFormer(ClassMix):
    """Trains as ClassMix, with rare source classes drawn more often and the encoder held to its pretrained features.

    Loss: that of ``ClassMix`` + feature_distance · mean over cells of ‖f(source) − f₀(source)‖₂, where f is the
    encoder's deepest map, f₀ that of a frozen copy with the pretrained weights, in eval mode, and the cells are those
    of which a thing class fills at least three quarters. After each optimizer step i the teacher becomes
    m · teacher + (1 − m) · student, m = min(1 − 1 / (i + 2), momentum). It has no dropout; its BatchNorm is in the
    student's mode.

    It asks the data for rare-class sampling: a class is drawn with the probability softmax((1 − f_c) / 0.01), then an
    image and a crop of it. ``data.rare_class_sampling`` suits that to small images and crops. The encoder wants
    ``model.encoder_weights``. Warm-up and learning rates are settings of the model:
    ``configs/strategy/daformer.yaml`` has the paper's.

    Reference: Hoyer et al., DAFormer, CVPR 2022, https://arxiv.org/abs/2111.14887
    Costs: one more forward and backward, on mixed images, the teacher's forward and the pretrained encoder's
    Differs from the paper: any network; classes are picked from each image's own mask, where the authors' code picks
    from the batch's; whether an image is jittered and blurred is drawn for it alone, where that draws once a
    batch; the loss on the source is averaged over the pixels that have a label, there over all; the teacher's buffers
    are averaged too, and it infers, where the student does; nothing is exempt from weight decay; source crops that one
    class fills by more than three quarters are drawn again with ``data.largest_class_share: 0.75`` only.

    Args:
        momentum: the largest share of itself that the teacher keeps in a step, in [0, 1).
        threshold: probability from which a pseudo-label counts as confident, in [0, 1].
        weighting: what w is on the target's pixels: ``share`` or ``pixel``, as of ``MeanTeacher``.
        weight: factor of the loss on mixed images, ≥ 0.
        strong: how the colours of mixed images are changed; None is jitter of strength 0.2 and blur.
        teacher_dropout: whether dropout is active in the teacher too.
        mix: what is pasted: ``classes``, or ``boxes`` over half of the image (CutMix).
        criterion: loss on the masks; cross-entropy if None.
        feature_distance: factor of the distance to the pretrained features, ≥ 0; 0 keeps no copy of the encoder.
        things: names of the classes on which the distance is measured, in upper or lower case: countable objects that
            the encoder's pretraining knows. None takes the things of Cityscapes among the classes.
        ignore_top: rows of pixels at the top of each crop in which pseudo-labels weigh nothing, ≥ 0.
        ignore_bottom: the same at the bottom. Both are for crops as high as the image, such as the paper's of
            Cityscapes: of 512 rows it leaves out 15, frayed by rectification, and 120, the bonnet of the car. Most
            data have neither, so that 0 is the default.

    Raises:
        ValueError: if a number is out of range, or no class is a thing.
    """

    requests = (RareClassSampling(),)
    thing_ids: Tensor

    def __init__(
        self,
        momentum: float = 0.999,
        threshold: float = 0.968,
        weighting: Weighting = "share",
        weight: float = 1.0,
        strong: StrongAugmentation | None = None,
        teacher_dropout: bool = False,
        mix: Mix = "classes",
        criterion: Criterion | None = None,
        feature_distance: float = 0.005,
        things: list[str] | None = None,
        ignore_top: int = 0,
        ignore_bottom: int = 0,
    ) -> None:
        strong = strong or StrongAugmentation(jitter=0.2)
        super().__init__(momentum, threshold, weighting, weight, strong, teacher_dropout, mix, criterion)
        for name, value in (
            ("feature_distance", feature_distance),
            ("ignore_top", ignore_top),
            ("ignore_bottom", ignore_bottom),
        ):
            if value < 0:
                raise ValueError(f"DAFormer.{name} is {value}; give 0 or a positive number.")
        self.feature_distance = feature_distance
        self.things = things
        self.ignore_top = ignore_top
        self.ignore_bottom = ignore_bottom
        self.wants_pretrained = feature_distance > 0
        self.pretrained: PretrainedEncoder | None = None

    def keep_pretrained(self, network: Network) -> None:
        """Copies the encoder."""
        self.pretrained = PretrainedEncoder(network)

    def build(self, network: Network, classes: Sequence[str]) -> None:
        """Makes the teacher, and finds the things among the classes.

        Raises:
            ValueError: if there are none, or the encoder was not kept.
        """
        super().build(network, classes)
        if self.wants_pretrained:
            if self.pretrained is None:
                raise ValueError("DAFormer has no pretrained encoder: call keep_pretrained(network) before build.")
            # On the device before the first step: to send it there in a step would be to wait for it.
            self.register_buffer("thing_ids", torch.tensor(self._find_things(classes)), persistent=False)

    def source_terms(self, network: Network, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Returns the loss on the source and, of the same forward, the distance to the pretrained features."""
        if self.pretrained is None:
            return super().source_terms(network, batch, step)
        image, mask = batch["source"]["image"], batch["source"]["mask"]
        pretrained = self.pretrained(image)  # first, while the graph of the other forward takes no memory
        features = network.features(image)
        height, width = features[-1].shape[-2:]
        stride = cast(int, network.encoder.output_stride)
        cells = class_cells(mask, self.thing_ids, stride, (height, width))
        step.log("feature_distance/cells", cells.float().mean())
        return {
            "segmentation": self.criterion(network.decode(features, (mask.shape[1], mask.shape[2])), mask),
            "feature_distance": self.feature_distance * feature_distance(features[-1], pretrained, cells),
        }

    def weigh(self, confident: Tensor) -> Tensor:
        """Returns what each pseudo-label counts: nothing in the rows that are ignored.

        Args:
            confident: (B, H, W) bool, whether it is confident.

        Returns:
            (B, H, W) float32.

        Raises:
            ValueError: if all rows are ignored.
        """
        height = confident.shape[1]
        if self.ignore_top + self.ignore_bottom >= height:
            raise ValueError(
                f"DAFormer.ignore_top is {self.ignore_top} and ignore_bottom {self.ignore_bottom}, but crops have "
                f"{height} rows: no pseudo-label would count. Lower them, or set data.crop higher."
            )
        row = torch.arange(height, device=confident.device).unsqueeze(1)
        return super().weigh(confident) * ((row >= self.ignore_top) & (row < height - self.ignore_bottom))

    def after_step(self, network: Network, step: Step) -> None:
        """Moves the teacher, whose copy of the student at the start counts as the first update."""
        self.mean_teacher.update(network, step.index + 1)

    def _find_things(self, classes: Sequence[str]) -> list[int]:
        wanted = {name.lower() for name in (CITYSCAPES_THINGS if self.things is None else self.things)}
        unknown = [name for name in self.things or () if name.lower() not in {one.lower() for one in classes}]
        if unknown:
            raise ValueError(f"DAFormer.things names {', '.join(unknown)}; the classes are {', '.join(classes)}.")
        ids = [class_id for class_id, name in enumerate(classes) if name.lower() in wanted]
        if not ids:
            raise ValueError(
                f"DAFormer measures the feature distance on things, and knows none among the classes "
                f"{', '.join(classes)}: name them in DAFormer.things, or set DAFormer.feature_distance to 0."
            )
        return ids

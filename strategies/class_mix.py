"""Training on the source, and on mixed images: classes of the source pasted into the target (DACS)."""

from typing import Literal, get_args

import torch
from torch import Tensor

from datamodules.batch import Batch
from strategies.components.criteria import Criterion
from strategies.components.mixing import box_mask, class_mask
from strategies.components.strong_augmentation import StrongAugmentation
from strategies.mean_teacher import MeanTeacher, StudentView, Weighting

Mix = Literal["classes", "boxes"]


class ClassMix(MeanTeacher):
    """Trains on the source, and on target images into which half of a source image's classes are pasted (DACS).

    Loss: CE(source) + weight · mean over pixels of w · CE(student(strong(mix)), y_mix). The mix holds the source's
    pixels and labels on a random half of the classes of its mask (rounded up; 255 counts as a class), with w = 1, and
    elsewhere the target's with the teacher's pseudo-labels and, as w, the share of confident ones in the batch.
    Teacher and inference are those of ``MeanTeacher``.

    Reference: Tranheden et al., DACS, WACV 2021, https://arxiv.org/abs/2007.08702; Olsson et al., ClassMix, WACV 2021,
    https://arxiv.org/abs/2007.07936
    Costs: one more forward and backward, on mixed images, and the teacher's forward
    Differs from the papers: whether it is jittered and blurred is drawn for each image, where DACS draws once a batch,
    and the jitter is torchvision's kind (see ``StrongAugmentation``); of several devices each has a share w of its own;
    the teacher's buffers are averaged too, and it infers, where DACS's student does.

    Args:
        momentum: the largest share of itself that the teacher keeps in a step, in [0, 1).
        threshold: probability from which a pseudo-label counts as confident, in [0, 1].
        weighting: what w is on the target's pixels: ``share`` or ``pixel``, as of ``MeanTeacher``.
        weight: factor of the loss on mixed images, ≥ 0.
        strong: how the colours of mixed images are changed; None is DACS's jitter and blur.
        teacher_dropout: whether dropout is active in the teacher too.
        mix: what is pasted: ``classes``, or ``boxes`` over half of the image (CutMix).
        criterion: loss on the masks; cross-entropy if None.

    Raises:
        ValueError: if a number is out of range.
    """

    view_name = "mixed"

    def __init__(
        self,
        momentum: float = 0.99,
        threshold: float = 0.968,
        weighting: Weighting = "share",
        weight: float = 1.0,
        strong: StrongAugmentation | None = None,
        teacher_dropout: bool = True,
        mix: Mix = "classes",
        criterion: Criterion | None = None,
    ) -> None:
        super().__init__(momentum, threshold, weighting, weight, strong, teacher_dropout, criterion)
        if mix not in get_args(Mix):
            raise ValueError(f"{type(self).__name__}.mix is {mix!r}; it is {' or '.join(get_args(Mix))}.")
        self.mix = mix

    def student_view(self, batch: Batch, labels: Tensor, weights: Tensor) -> StudentView:
        """Pastes source pixels into the target images, and changes the colours of the whole."""
        source, target = batch["source"], batch["target"]["image"]
        pasted = class_mask(source["mask"]) if self.mix == "classes" else box_mask(source["mask"])
        image = torch.where(pasted.unsqueeze(1), source["image"], target)
        return StudentView(
            self.strong(image),
            torch.where(pasted, source["mask"], labels),
            torch.where(pasted, 1.0, weights),
            ~pasted,
        )

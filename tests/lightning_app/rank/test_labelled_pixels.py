"""Pixels and what a network makes of them, held against the network's own maps and logits."""

from collections.abc import Sequence

import pytest
import torch
from torch.nn import functional
from weights_on_disk import make

from datamodules.batch import IGNORE, DomainBatch
from lightning_app.inference import Windows
from lightning_app.network import SegmentationNetwork
from lightning_app.pixel_reservoir import PixelReservoir
from lightning_app.rank.candidate import OpenedCandidate
from lightning_app.rank.labelled_pixels import labelled_pixels

FPN = {"encoder_depth": 3, "decoder_pyramid_channels": 32, "decoder_segmentation_channels": 32}
SIZE = (19, 27)  # no multiple of the stride: the image is padded


def network(seed: int) -> SegmentationNetwork:
    torch.manual_seed(seed)
    return make("tu-test_resnet", architecture="FPN", options=FPN)


def opened(one: SegmentationNetwork, with_head: bool = True) -> OpenedCandidate:
    if not with_head:
        return OpenedCandidate(one, None, "it has none")
    return OpenedCandidate(one, lambda image, maps: one.decode(maps, (image.shape[-2], image.shape[-1])), None)


def batches(count: int = 2) -> list[DomainBatch]:
    """Images of noise, whose upper row has no class."""
    chance = torch.Generator().manual_seed(3)
    masks = torch.randint(0, 3, (count, *SIZE), dtype=torch.uint8, generator=chance)
    masks[:, 0] = IGNORE
    images = torch.randint(0, 256, (count, 1, 3, *SIZE), dtype=torch.uint8, generator=chance)
    return [{"image": images[i], "mask": masks[i : i + 1], "name": [f"image {i}"]} for i in range(count)]


def drawn(
    candidate: OpenedCandidate, images: Sequence[DomainBatch], capacity: int = 10_000, windows: Windows | None = None
) -> PixelReservoir:
    return labelled_pixels(candidate, images, 3, capacity, windows, seed=1)


def test_features_are_the_maps_as_the_decoder_would_enlarge_them() -> None:
    one, (batch,) = network(0), batches(1)
    sample = drawn(opened(one), [batch])
    image = batch["image"].float() / 255
    with torch.inference_mode():
        maps = [one.features(image)[stage.map] for stage in one.stages()]
        enlarged = torch.cat([one.to_image_size(map_, SIZE) for map_ in maps], dim=1)[0].flatten(1).T
        logits = one(image)[0].flatten(1).T
    counted = batch["mask"].flatten() != IGNORE
    labels = batch["mask"].flatten()[counted].long()
    assert len(sample.labels) == int(counted.sum())  # all of them: none of the ignored ones
    for name, wanted in (("features", enlarged), ("probabilities", logits.softmax(1))):
        # In whatever order, each pixel of a class once.
        for label in range(3):
            found = sample[name][sample.labels == label]
            expected = wanted[counted][labels == label]
            distances = torch.cdist(found.double(), expected.double(), compute_mode="donot_use_mm_for_euclid_dist")
            assert distances.min(1).values.max() < 1e-4
            assert len(distances.argmin(1).unique()) == len(expected)


def test_every_candidate_is_judged_by_the_same_pixels_in_any_order_of_images() -> None:
    images = batches(3)
    for batch in images:  # the red of a pixel says where it lies
        batch["image"][0, 0] = torch.arange(SIZE[0] * SIZE[1]).view(SIZE) // 3

    def red(image: torch.Tensor, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([image[:, :1], 1 - image[:, :1]], dim=1).log()

    seen = []
    for seed, order in ((0, [0, 1, 2]), (5, [2, 0, 1])):
        sample = drawn(OpenedCandidate(network(seed), red, None), [images[place] for place in order], capacity=20)
        assert sample.labels.bincount().tolist() == [20, 20, 20]
        places = (sample["probabilities"][:, 0] * 255).round().int().tolist()
        seen.append({*zip(sample.labels.tolist(), torch.tensor(order)[sample["image"]].tolist(), places, strict=True)})
    assert seen[0] == seen[1] and len({image for _, image, _ in seen[0]}) == 3
    # Of each image other ones: two of about 20 in 171 places have about two in common.
    of = [{place for _, image, place in seen[0] if image == number} for number in range(3)]
    assert min(map(len, of)) > 10 and max(len(of[i] & of[j]) for i, j in ((0, 1), (0, 2), (1, 2))) < 8


def test_windows_cut_and_scale_what_the_network_sees() -> None:
    one, (batch,) = network(0), batches(1)
    windows = Windows((19, 14), scale=0.5)
    sample = drawn(opened(one), [batch], windows=windows)
    assert len(sample.labels) >= int((batch["mask"] != IGNORE).sum())  # the windows share a column
    image = batch["image"].float()[..., :14] / 255
    half = functional.interpolate(image, [10, 7], mode="bilinear", align_corners=False, antialias=True)
    with torch.inference_mode():
        wanted = one(half).softmax(1)[0, :, 5, 3]  # of the pixel in row 9 or 10, column 6 or 7
    distances = (sample["probabilities"] - wanted).abs().amax(1)
    assert distances.min() < 1e-5


def test_without_a_head_there_are_no_probabilities() -> None:
    sample = drawn(opened(network(0), with_head=False), batches(1))
    with pytest.raises(KeyError):
        sample["probabilities"]

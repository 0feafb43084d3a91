"""Labelled pixels with what a network makes of them."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from datamodules.batch import DomainBatch
from datamodules.dataset import to_device_values
from lightning_app.inference import Windows, scaled, window_places
from lightning_app.pixel_reservoir import PixelReservoir
from lightning_app.rank.candidate import OpenedCandidate


@torch.inference_mode()
def labelled_pixels(
    candidate: OpenedCandidate,
    images: Iterable[DomainBatch],
    classes: int,
    capacity: int,
    windows: Windows | None,
    seed: int,
) -> PixelReservoir:
    """Draws pixels of each class and reads the encoder's maps there: the same pixels for every candidate.

    Features of a pixel are the maps of all of the encoder's stages, which are what a decoder gets, brought to the
    pixel as a decoder enlarges them. Every candidate has them, whether it has a decoder or not.

    Args:
        candidate: the network.
        images: whole images with masks, one at a time, as workers hand them over.
        classes: the number of the target's classes.
        capacity: at most so many pixels of each class.
        windows: how large images are cut and scaled for the network; None passes them whole.
        seed: decides the pixels, with the images' names.

    Returns:
        The sample: ``features`` (K, D), ``image`` (K,) and, if there is a head, ``probabilities`` (K, source classes).
    """
    sample = PixelReservoir(capacity, classes)
    network, device = candidate.network, candidate.network.mean.device
    stages = [stage.map for stage in network.stages()]
    for place, batch in enumerate(images):
        chance = np.random.SeedSequence([seed, *"".join(batch["name"]).encode("utf-8", "surrogateescape")])
        generator = torch.Generator().manual_seed(int(chance.generate_state(1)[0]))
        whole = to_device_values(batch)
        height, width = whole["image"].shape[-2:]
        for rows, columns in window_places(height, width, windows):
            image = scaled(whole["image"][..., rows, columns].to(device), windows)
            mask = whole["mask"][0, rows, columns]

            def values(
                pixels: Tensor, image: Tensor = image, mask: Tensor = mask, place: int = place
            ) -> dict[str, Tensor]:
                maps = network.features(image)
                size = (image.shape[-2], image.shape[-1])
                # The pixel of the scaled image that covers the pixel of the mask.
                row = ((pixels // mask.shape[1] + 0.5) * (size[0] / mask.shape[0])).long()
                column = ((pixels % mask.shape[1] + 0.5) * (size[1] / mask.shape[1])).long()
                found = {
                    "features": torch.cat(
                        [_at_pixels(candidate, maps[stage], size, row, column) for stage in stages], dim=1
                    ),
                    "image": torch.full((len(pixels),), place),
                }
                if candidate.head is not None:
                    found["probabilities"] = candidate.head(image, maps)[0, :, row, column].T.float().softmax(1)
                return found

            sample.offer(mask.flatten(), values, generator)
    return sample


def _at_pixels(candidate: OpenedCandidate, map_: Tensor, size: tuple[int, int], row: Tensor, column: Tensor) -> Tensor:
    """Reads a map (1, D, h, w) where ``to_image_size`` would put it, without enlarging all of it; (K, D) float32."""
    height, width = map_.shape[-2:]
    down = torch.arange(height, dtype=torch.float32, device=map_.device).view(1, 1, height, 1)
    right = torch.arange(width, dtype=torch.float32, device=map_.device).view(1, 1, 1, width)
    # Enlarged, the numbers of the cells say for each pixel between which of them it lies.
    lies = torch.cat([right.expand(1, 1, height, width), down.expand(1, 1, height, width)], dim=1)
    lies = candidate.network.to_image_size(lies, size)[0][:, row, column]
    last = torch.tensor([[width - 1], [height - 1]], device=map_.device).clamp_min(1)
    grid = (2 * lies / last - 1).T.view(1, -1, 1, 2)
    found = functional.grid_sample(map_.float(), grid, align_corners=True, padding_mode="border")
    return found[0, :, :, 0].T

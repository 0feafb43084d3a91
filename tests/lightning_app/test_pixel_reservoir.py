"""The reservoir: bounded, as many of each class, the same however the stream is cut."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lightning_app.pixel_reservoir import PixelReservoir


def stream(images: int = 30) -> list[tuple[Tensor, Tensor]]:
    """Makes labels and features of images: class 2 is rare, 255 is ignored."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(images):
        labels = torch.from_numpy(random.choice([0, 1, 2, 255], size=200, p=[0.6, 0.29, 0.01, 0.1]))
        found.append((labels, torch.from_numpy(random.normal(size=(200, 3)))))
    return found


def fill(reservoir: PixelReservoir, images: Sequence[tuple[Tensor, Tensor]], order: Sequence[int]) -> PixelReservoir:
    """Offers images, each with a seed of its own."""
    for index in order:
        labels, features = images[index]

        def values(places: Tensor, features: Tensor = features, index: int = index) -> dict[str, Tensor]:
            return {"feature": features[places], "image": torch.full((len(places),), index)}

        reservoir.offer(labels, values, torch.Generator().manual_seed(index))
    return reservoir


def test_it_holds_as_many_of_each_class_as_there_are_up_to_its_capacity() -> None:
    images = stream()
    reservoir = fill(PixelReservoir(100, 3), images, range(30))
    every = torch.cat([labels for labels, _ in images])
    counts = [int((every == label).sum()) for label in range(3)]
    assert reservoir.seen.tolist() == counts
    assert torch.bincount(reservoir.labels).tolist() == [min(100, count) for count in counts]
    assert counts[2] < 100 < counts[1]  # or nothing is shown
    assert reservoir["feature"].shape == (len(reservoir.labels), 3)


def test_what_is_kept_is_what_was_offered_with_its_label() -> None:
    images = stream()
    reservoir = fill(PixelReservoir(50, 3), images, range(30))
    for label, feature, image in zip(reservoir.labels, reservoir["feature"], reservoir["image"], strict=True):
        labels, features = images[int(image)]
        (places,) = torch.nonzero((features == feature).all(dim=1), as_tuple=True)
        assert labels[places].tolist() == [int(label)]


def test_the_order_of_the_stream_does_not_matter() -> None:
    images = stream()
    forwards = fill(PixelReservoir(40, 3), images, range(30))
    backwards = fill(PixelReservoir(40, 3), images, range(29, -1, -1))
    assert torch.equal(backwards.seen, forwards.seen)
    assert torch.equal(backwards.labels, forwards.labels)
    assert torch.equal(backwards["feature"], forwards["feature"])


def positions_of(image: int, places: Tensor) -> dict[str, Tensor]:
    """Returns where pixels lie in the whole stream of images of 10 pixels."""
    return {"position": 10 * image + places}


def test_every_pixel_is_as_likely_kept_early_or_late() -> None:
    labels = torch.zeros(10, dtype=torch.int64)
    kept = torch.zeros(30)
    for trial in range(2000):
        reservoir = PixelReservoir(6)
        for image in range(3):
            generator = torch.Generator().manual_seed(3 * trial + image)
            reservoir.offer(labels, partial(positions_of, image), generator)
        kept[reservoir["position"]] += 1
    # 2000 · 6 / 30 = 400 each, with a standard deviation of 18.
    assert (kept - 400).abs().max() < 4 * 18

import tracemalloc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_app.inference import Windows, predict_mask


def random_image(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def convolution(classes: int = 5, channels: int = 3, kernel_size: int = 1, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Conv2d(channels, classes, kernel_size, padding=kernel_size // 2).eval()


def whole_logits(network: nn.Module, image: NDArray[np.uint8]) -> Tensor:
    with torch.no_grad():
        logits: Tensor = network(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)
    return logits[0]


def position_logits(batch: Tensor) -> Tensor:
    """A network that answers by the position inside its window: class 1 left of the middle column, else class 0."""
    columns = torch.arange(batch.shape[-1]).expand(batch.shape[0], *batch.shape[-2:])
    left = (columns < batch.shape[-1] // 2).float()
    return torch.stack([1 - left, left], dim=1)


@pytest.mark.parametrize("windows", [None, Windows(64), Windows((40, 30), overlap=0.5)])
def test_one_window_over_everything_equals_the_whole_image(windows: Windows | None) -> None:
    image = random_image(40, 30)
    network = convolution(kernel_size=5)
    probabilities = np.zeros((5, 40, 30), dtype=np.float16)

    mask = predict_mask(network, image, windows, "cpu", probabilities)

    logits = whole_logits(network, image)
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, logits.argmax(0).numpy())
    assert np.array_equal(probabilities, logits.softmax(0).half().numpy())


@pytest.mark.parametrize(
    "windows",
    [
        Windows(16, overlap=0.0),
        Windows(16),
        Windows(17, overlap=0.5, batch_size=3),
        Windows((13, 50), overlap=0.75, batch_size=1),
        Windows((100, 9), overlap=0.3),
        Windows((5, 7), overlap=0.99, batch_size=64),
    ],
)
def test_a_per_pixel_network_gives_the_same_mask_for_any_windows(windows: Windows) -> None:
    image = random_image(47, 61)
    network = convolution()

    probabilities = np.zeros((5, 47, 61), dtype=np.float16)
    mask = predict_mask(network, image, windows, "cpu", probabilities)

    logits = whole_logits(network, image)
    assert np.array_equal(mask, logits.argmax(0).numpy())
    np.testing.assert_allclose(probabilities, logits.softmax(0).numpy(), atol=1e-3)


@pytest.mark.parametrize("size", [64, (20, 32)])
def test_windows_pass_the_network_smaller_and_the_logits_come_back_larger(size: int | tuple[int, int]) -> None:
    image = np.repeat(np.repeat(random_image(10, 16), 4, axis=0), 4, axis=1)
    seen: list[Tensor] = []

    def network(batch: Tensor) -> Tensor:
        seen.append(batch)
        return convolution()(batch)

    mask = predict_mask(network, image, Windows(size, overlap=0.0, scale=0.5), "cpu")

    rows, columns = (40, 64) if size == 64 else (20, 32)
    assert {one.shape[-2:] for one in seen} == {(rows // 2, columns // 2)}
    assert mask.shape == (40, 64)
    # Within each square of one colour the network gives the same answer at any size.
    assert np.array_equal(mask[1::4, 1::4], whole_logits(convolution(), image[1::4, 1::4]).argmax(0).numpy())


def test_a_scale_without_a_meaning_is_refused() -> None:
    for scale in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"windows\.scale is .*above 0"):
            Windows(16, scale=scale)


@pytest.mark.parametrize("windows", [None, Windows(16, overlap=0.0), Windows(20)])
def test_a_watch_is_told_the_probabilities_of_all_rows_from_the_top(windows: Windows | None) -> None:
    image = random_image(47, 30)
    network = convolution()
    told: list[Tensor] = []
    mask = predict_mask(network, image, windows, "cpu", watch=told.append)
    assert max(rows.shape[2] for rows in told) <= 32
    torch.testing.assert_close(torch.cat(told, dim=2)[0], whole_logits(network, image).softmax(0))
    assert np.array_equal(mask, predict_mask(network, image, windows, "cpu"))


@pytest.mark.parametrize(("height", "width"), [(5, 90), (90, 5), (5, 5), (1, 1)])
def test_images_smaller_than_a_window_in_one_or_both_directions(height: int, width: int) -> None:
    image = random_image(height, width)
    network = convolution()
    sizes = set()

    def spy(batch: Tensor) -> Tensor:
        sizes.add(tuple(batch.shape[2:]))
        logits: Tensor = network(batch)
        return logits

    mask = predict_mask(spy, image, Windows(32), "cpu")

    assert np.array_equal(mask, whole_logits(network, image).argmax(0).numpy())
    assert sizes == {(min(height, 32), min(width, 32))}


def test_across_an_overlap_one_window_fades_linearly_into_the_next() -> None:
    # Windows of 8 columns at 0, 4 and 8 on 16 columns. The network says 1 in the left half of a window and 0 in the
    # right half, so in the overlap of columns 4–7 the first window says 0 and the second 1, with weights from
    # 4/5, 3/5, 2/5, 1/5 down and up; and so on in columns 8–11.
    probabilities = np.zeros((2, 3, 16), dtype=np.float16)
    predict_mask(position_logits, random_image(3, 16), Windows((3, 8), overlap=0.5), "cpu", probabilities)

    share = np.array([1.0] * 4 + [0.2, 0.4, 0.6, 0.8] * 2 + [0.0] * 4)
    expected = 1 / (1 + np.exp(-(2 * share - 1)))
    np.testing.assert_allclose(probabilities[1], np.broadcast_to(expected, (3, 16)), atol=1e-3)


def test_the_last_windows_are_shifted_inside() -> None:
    image = np.zeros((10, 11, 1), dtype=np.uint8)
    image[..., 0] = 11 * np.arange(10)[:, None] + np.arange(11)
    corners: list[int] = []

    def spy(batch: Tensor) -> Tensor:
        corners.extend((batch[:, 0, 0, 0] * 255).round().int().tolist())
        return torch.cat([batch, 1 - batch], dim=1)

    predict_mask(spy, image, Windows(4, overlap=0.25, batch_size=2), "cpu")

    assert corners == [11 * top + left for top in (0, 3, 6) for left in (0, 3, 6, 7)]


def test_tensors_and_arrays_of_all_kinds_agree() -> None:
    image = random_image(20, 24)
    network = convolution()
    windows = Windows(16)
    expected = predict_mask(network, image, windows, "cpu")

    read_only = image.copy()
    read_only.setflags(write=False)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    for same in (
        read_only,
        np.ascontiguousarray(image[..., ::-1])[..., ::-1],
        image.astype(np.float32) / 255,
        image.astype(np.float64) / 255,
        tensor,
        tensor.float() / 255,
    ):
        assert np.array_equal(predict_mask(network, same, windows, "cpu"), expected)


@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_channels(channels: int) -> None:
    image = random_image(20, 24, channels)
    network = convolution(channels=channels)
    assert np.array_equal(predict_mask(network, image, Windows(8), "cpu"), whole_logits(network, image).argmax(0))


def test_batches_hold_at_most_batch_size_windows_and_progress_counts_them() -> None:
    sizes: list[int] = []
    progress: list[tuple[int, int]] = []
    network = convolution()

    def spy(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        logits: Tensor = network(batch)
        return logits

    windows = Windows(8, overlap=0.0, batch_size=2)
    predict_mask(spy, random_image(16, 24), windows, "cpu", progress=lambda done, total: progress.append((done, total)))

    assert sizes == [2, 1, 2, 1]
    assert progress == [(2, 6), (3, 6), (5, 6), (6, 6)]


def test_half_precision_logits_are_blended_in_single_precision() -> None:
    image = random_image(30, 30)
    network = convolution()
    mask = predict_mask(lambda batch: network(batch).bfloat16(), image, Windows(8), "cpu")
    assert np.array_equal(mask, whole_logits(network, image).bfloat16().argmax(0))


def test_probabilities_can_be_a_file(tmp_path: Path) -> None:
    image = random_image(33, 20)
    network = convolution()
    path = tmp_path / "probabilities.npy"
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(5, 33, 20))

    predict_mask(network, image, Windows(8), "cpu", file)
    del file

    np.testing.assert_allclose(np.load(path), whole_logits(network, image).softmax(0).numpy(), atol=1e-3)


class LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the bytes of all tensors alive and remembers the most there ever were."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive: list[weakref.ref[Tensor]] = []
        self.peak = 0

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        found = output if isinstance(output, tuple | list) else [output]
        self.alive += [weakref.ref(tensor) for tensor in found if isinstance(tensor, Tensor)]
        self.alive = [reference for reference in self.alive if reference() is not None]
        storages = [tensor.untyped_storage() for reference in self.alive if (tensor := reference()) is not None]
        self.peak = max(self.peak, sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values()))
        return output


def peak_bytes(height: int, overlap: float) -> tuple[int, int]:
    """Peaks of tensors and of arrays, in bytes above the image and the mask."""
    image = random_image(height, 96)
    network = convolution(classes=7)
    windows = Windows(32, overlap=overlap)
    with LiveTensors() as live:
        torch.zeros(1)  # the first use of such a mode imports much, which would be traced
        tracemalloc.start()
        mask = predict_mask(network, image, windows, "cpu")
        _, arrays = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return live.peak, arrays - mask.nbytes


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.8])
def test_memory_does_not_grow_with_the_height_of_the_image(overlap: float) -> None:
    peak_bytes(64, overlap)  # what is made once, such as caches
    low_tensors, low_arrays = peak_bytes(128, overlap)
    high_tensors, high_arrays = peak_bytes(512, overlap)

    band = 7 * 32 * 96 * 4
    batch = 4 * (3 + 7) * 32 * 32 * 4  # input and logits
    assert band < low_tensors < band + 1.5 * batch
    # The weights of the rows, 32 floats a window, are all that may grow: a float copy of the image would be 442,368.
    row_weights = (512 - 128) / (32 * (1 - overlap)) * 32 * 4
    assert high_tensors - low_tensors <= 2.2 * row_weights
    assert high_arrays - low_arrays <= 50_000  # Python's own objects; 384 rows of the image have 110,592 as uint8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "windows.size is 0"),
        ({"size": (64, -1)}, r"windows.size is \(64, -1\)"),
        ({"size": 64, "overlap": 1.0}, "windows.overlap is 1.0.*less than 1"),
        ({"size": 64, "overlap": -0.1}, "windows.overlap is -0.1"),
        ({"size": 64, "overlap": float("nan")}, "windows.overlap is nan"),
        ({"size": 64, "batch_size": 0}, "windows.batch_size is 0"),
    ],
)
def test_settings_that_cannot_cover_an_image_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Windows(**settings)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8), dtype=np.uint8), r"shape \(8, 8\); give one image \(H, W, C\)"),
        (torch.zeros(1, 3, 8, 8), r"shape \(1, 3, 8, 8\); give one image \(C, H, W\)"),
        (np.zeros((0, 8, 3), dtype=np.uint8), "at least one pixel"),
        (np.zeros((8, 8, 3), dtype=np.uint16), "type uint16; .*scale it"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), "type torch.int64"),
        (np.full((8, 8, 3), 255.0), "values from 255 to 255; scale it"),
        (torch.full((3, 8, 8), float("nan")), "values from nan to nan"),
    ],
)
def test_images_that_are_not_ours_are_refused(image: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict_mask(convolution(), image, None, "cpu")


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda batch: torch.zeros(len(batch), 5, 4, 4), r"gave \(1, 5, 4, 4\) for 1 windows of 8 × 8.*pad inside"),
        (lambda batch: torch.zeros(len(batch), 256, 8, 8), "has 256 classes; a mask holds 2 to 255"),
        (lambda batch: torch.zeros(len(batch), 1, 8, 8), "has 1 classes"),
        (lambda batch: torch.full((len(batch), 3, 8, 8), torch.nan), "NaN or infinity"),
    ],
)
def test_logits_that_name_no_class_are_refused(network: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict_mask(network, random_image(8, 8), None, "cpu")


def test_255_classes_fit_a_mask() -> None:
    def network(batch: Tensor) -> Tensor:
        logits = torch.zeros(len(batch), 255, *batch.shape[2:])
        logits[:, 254] = 1
        return logits

    assert (predict_mask(network, random_image(8, 8), Windows(4), "cpu") == 254).all()


def test_an_array_for_probabilities_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 8, 8\).*= \(5, 8, 8\)"):
        predict_mask(convolution(), random_image(8, 8), None, "cpu", np.zeros((3, 8, 8), dtype=np.float16))

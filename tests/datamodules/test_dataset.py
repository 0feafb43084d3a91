from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from datamodules.dataset import DomainDataset, collate, to_device_values
from datamodules.folder_domain import FolderDomain
from datamodules.label_map import LabelMap
from datamodules.mask_reader import MaskReader
from datamodules.samplers import Draw
from datamodules.transforms import TrainTransform

MakeFolder = Callable[..., Path]
NAMES = ["target_00", "target_01"]
CLASSES = ["road", "car", "sky", "tree"]


def _dataset(root: Path, *, masks: bool = True, classes: int = 3, channels: int = 3) -> DomainDataset:
    domain = FolderDomain(str(root))
    label_map = LabelMap(None, {}, CLASSES[:classes], "data.init_args.target.init_args.label_map")
    reader = MaskReader(domain, "target", {"": label_map}) if masks else None
    return DomainDataset(domain, "target", NAMES, channels=channels, read_mask=reader)


def test_a_sample_holds_the_pixels_and_ids_of_the_files(make_folder: MakeFolder) -> None:
    root = make_folder(count=2)
    sample = _dataset(root)[1]
    image = cv2.imread(str(root / "images" / "target_01.png"))
    mask = cv2.imread(str(root / "masks" / "target_01.png"), cv2.IMREAD_UNCHANGED)
    assert image is not None
    np.testing.assert_array_equal(sample["image"].numpy(), image[..., ::-1].transpose(2, 0, 1))
    np.testing.assert_array_equal(sample["mask"].numpy(), mask)
    assert sample["image"].dtype == sample["mask"].dtype == torch.uint8
    assert (sample["name"], sample["domain"]) == ("target_01", "target")


def test_batches_become_float_and_int64_on_the_device(make_folder: MakeFolder) -> None:
    dataset = _dataset(make_folder(count=2))
    batch = collate([dataset[0], dataset[1]])
    assert batch["image"].shape == (2, 3, 12, 16)
    assert batch["name"] == NAMES
    converted = to_device_values(batch)
    torch.testing.assert_close(converted["image"], batch["image"] / 255)
    assert converted["mask"].dtype == torch.int64
    assert batch["image"].dtype == torch.uint8
    # Lightning has made them half where precision is true half.
    half: Any = {**batch, "image": converted["image"].bfloat16(), "strong": converted["image"].bfloat16()}
    assert {to_device_values(half)[view].dtype for view in ("image", "strong")} == {torch.float32}


def test_without_a_reader_masks_are_never_opened(make_folder: MakeFolder) -> None:
    root = make_folder(count=2)
    for mask in (root / "masks").iterdir():
        mask.write_bytes(b"garbage")
    assert set(_dataset(root, masks=False)[0]) == {"image", "name", "domain", "part"}


def test_a_class_id_outside_the_classes_names_the_mend(make_folder: MakeFolder) -> None:
    root = make_folder(count=2, classes=4)
    with pytest.raises(ValueError) as caught:
        _dataset(root, classes=3)[0]
    assert str(caught.value) == (
        "target mask target_00 holds class id 3 in 53 pixels; classes are 0 to 2 and 255 (ignore). "
        "Map it in data.init_args.target.init_args.label_map."
    )


def test_a_mask_of_another_size_says_both_sizes(make_folder: MakeFolder) -> None:
    root = make_folder(count=2)
    cv2.imwrite(str(root / "masks" / "target_00.png"), np.zeros((5, 7), np.uint8))
    with pytest.raises(ValueError, match="target mask target_00 is 7 by 5, but its image is 16 by 12"):
        _dataset(root)[0]


@pytest.mark.parametrize(("found", "channels"), [(1, 3), (3, 1), (4, 3), (4, 4)])
def test_images_come_in_the_channels_of_the_run(make_folder: MakeFolder, found: int, channels: int) -> None:
    root = make_folder(count=2, channels=found)
    assert _dataset(root, channels=channels)[0]["image"].shape == (channels, 12, 16)


def test_augmentation_depends_on_seed_stream_and_draw_alone(make_folder: MakeFolder) -> None:
    domain = FolderDomain(str(make_folder(count=2, size=(40, 40))))

    def dataset(seed: int = 0, stream: str = "target") -> DomainDataset:
        return DomainDataset(
            domain,
            "target",
            NAMES,
            channels=3,
            transform=TrainTransform((8, 8)),
            seed=seed,
            stream=stream,  # type: ignore[arg-type]
        )

    first = dataset()[Draw(0, 5)]["image"]
    reader = dataset()
    reader[Draw(1, 4)]
    assert torch.equal(reader[Draw(0, 5)]["image"], first)
    for other in (reader[Draw(0, 6)], dataset(seed=1)[Draw(0, 5)], dataset(stream="labelled_target")[Draw(0, 5)]):
        assert not torch.equal(other["image"], first)

"""Which images training draws, resumed or not, and what becomes of broken ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import albumentations
import cv2
import numpy as np
import pytest
import torch
from recorded import CLASSES, Declares, Recorder, data_of, fit, quiet_trainer, same

from datamodules.batch import RareClassSampling
from datamodules.cross_domain_data_module import CrossDomainDataModule
from datamodules.folder_domain import FolderDomain
from datamodules.samplers import Draw

MakeFolder = Callable[..., Path]


# Order


RARE = RareClassSampling(temperature=0.1, minimum_pixels=10, minimum_crop_pixels=20)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rare_class_sampling": RARE, "largest_class_share": 0.5, "strong_view": True, "on_bad_file": "skip"},
    ],
    ids=["plain", "rare classes, two views, a broken file"],
)
def test_interrupted_and_resumed_equals_uninterrupted(
    make_folder: MakeFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
    settings: dict[str, Any],
    workers: int,
) -> None:
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "cache"))
    source, target = make_folder("source", 9), make_folder("target", 6, masks=[])
    if settings:
        (source / "images" / "source_03.png").write_bytes(b"garbage")
        (target / "images" / "target_03.png").write_bytes(b"")
    strategy = Declares(["source", "target"])
    whole = fit(data_of(source, target, steps_per_epoch=5, **settings), strategy, max_epochs=-1, max_steps=12)
    assert len(whole.seen) == 12

    def _data_again() -> CrossDomainDataModule:
        return data_of(source, target, steps_per_epoch=5, workers=workers, **settings)

    options = {"max_epochs": -1, "limit_val_batches": 0}
    first, resumed = Recorder(strategy), Recorder(strategy)
    trainer = quiet_trainer(max_steps=3, **options)
    trainer.fit(first, _data_again())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    quiet_trainer(max_steps=12, **options).fit(resumed, _data_again(), ckpt_path=str(tmp_path / "last.ckpt"))
    assert same(first.seen + resumed.seen, whole.seen)
    for batch in whole.seen if settings else []:
        assert not {"source_03", "target_03"} & {*batch["source"]["name"], *batch["target"]["name"]}
        assert batch["target"]["strong"].shape == batch["target"]["image"].shape
        assert not torch.equal(batch["target"]["strong"], batch["target"]["image"])


def test_a_broken_file_ends_a_training_or_is_skipped_and_counted(
    make_folder: MakeFolder, recwarn: pytest.WarningsRecorder
) -> None:
    source = make_folder("source", 9)
    broken = data_of(source, None).splits()["source"]["train"][0]
    (source / "masks" / f"{broken}.png").write_bytes(b"garbage")
    strategy = Declares(["source"])
    with pytest.raises(ValueError, match=rf"{broken}\.png is"):
        fit(data_of(source, None), strategy)
    fit(data_of(source, None, on_bad_file="skip"), strategy, max_epochs=3)
    said = [str(warning.message) for warning in recwarn if "skipped" in str(warning.message)]
    assert len(said) == 2  # the file once, and the count at the end
    assert f"skipped source image {broken}" in said[0]
    assert f"skipped 3 draws of 1 unreadable files: source image {broken} (3 ×)" in said[1]


def test_only_files_are_skipped_never_what_is_wrong_with_classes_or_augmentation(make_folder: MakeFolder) -> None:
    source = make_folder("source", 9, classes=4)
    with pytest.raises(ValueError, match="holds class id 3"):
        fit(data_of(source, None, on_bad_file="skip"), Declares(["source"]))
    wrong = [albumentations.Normalize(normalization="image")]  # makes floats of bytes
    with pytest.raises(ValueError, match=r"data\.augmentation: Normalize"):
        fit(data_of(make_folder("plain", 9), None, on_bad_file="skip", augmentation=wrong), Declares(["source"]))


def test_counting_for_rare_classes_opens_no_mask_that_was_not_given(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "cache"))
    target = make_folder("target", 20)
    given = data_of(None, target, labels=3).labelled_names
    assert len(given) == 3
    for mask in (target / "masks").iterdir():
        if mask.stem not in given:
            mask.write_bytes(b"garbage")
    data = data_of(None, target, labels=3, rare_class_sampling=RARE)
    module = fit(data, Declares(["labelled_target", "target"]), max_steps=3)
    assert {name for batch in module.seen for name in batch["labelled_target"]["name"]} <= set(given)


def test_two_parts_count_the_same_files_each_by_its_own_label_map(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "cache"))
    root = str(make_folder("source", 6))
    parts = [FolderDomain(root), FolderDomain(root, label_map={0: 2, 1: 1, 2: 0})]
    for _ in range(2):  # the second time from the cache
        data = CrossDomainDataModule(parts, classes=CLASSES, workers=0, crop=(8, 8))  # type: ignore[arg-type]
        side = data.sides["source"]
        counts = data._orders.count("source", side.splits["train"], side, RARE)
        half = len(counts) // 2
        assert counts[0].tolist() != counts[0, ::-1].tolist()
        np.testing.assert_array_equal(counts[:half], counts[half:, ::-1])


def test_files_that_change_while_training_are_read_as_they_are(make_folder: MakeFolder) -> None:
    source = make_folder("source", 4)
    data = data_of(source, None)
    dataset = data.training_dataset("source", data.splits()["source"]["train"])
    name = dataset.names[0]
    before = dataset[Draw(0, 0)]["image"]
    cv2.imwrite(str(source / "images" / f"{name}.png"), np.zeros((12, 16, 3), np.uint8))
    assert before.any() and not dataset[Draw(0, 0)]["image"].any()
    cv2.imwrite(str(source / "images" / f"{name}.png"), np.zeros((24, 16, 3), np.uint8))
    with pytest.raises(ValueError, match=rf"source mask {name} is 16 by 12, but its image is 16 by 24"):
        dataset[Draw(0, 0)]
    (source / "images" / f"{name}.png").unlink()
    with pytest.raises(FileNotFoundError, match=f"there is no image '{name}'"):
        dataset[Draw(0, 0)]


def test_a_strategy_asks_for_rare_classes_and_a_config_wins(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "cache"))
    source = make_folder("source", 12)
    names = data_of(source, None).splits()["source"]["train"]
    rare = names[3]
    for name in names:
        mask = np.zeros((12, 16), np.uint8)
        mask[:6] = 1
        mask[0, :8] = 2 if name == rare else 0
        cv2.imwrite(str(source / "masks" / f"{name}.png"), mask)
    strategy = Declares(["source"])

    def share_of_rare(requests: list[RareClassSampling], **settings: Any) -> float:
        strategy.requests = requests
        module = fit(data_of(source, None, steps_per_epoch=20, **settings), strategy, max_epochs=1)
        drawn = [name for batch in module.seen for name in batch["source"]["name"]]
        return drawn.count(rare) / len(drawn)

    sharp, flat = (RareClassSampling(temperature, 5, 0) for temperature in (0.001, 1000.0))
    assert share_of_rare([]) == pytest.approx(1 / len(names), abs=0.03)
    assert share_of_rare([sharp]) == 1
    # Without sharpness each class is as likely as any other: a third of the draws want the one that this image has.
    flattened = share_of_rare([sharp], rare_class_sampling=flat)
    assert flattened == pytest.approx(1 / 3 + 2 / 3 / len(names), abs=0.15)


def test_more_pixels_than_a_crop_has_are_refused_whoever_asks_for_them(make_folder: MakeFolder) -> None:
    source, sampling = make_folder("source", 4), RareClassSampling(minimum_pixels=1, minimum_crop_pixels=65)
    with pytest.raises(ValueError, match=r"data\.rare_class_sampling\.minimum_crop_pixels is 65, .* \(64\)\. Lower it"):
        data_of(source, None, rare_class_sampling=sampling)
    strategy = Declares(["source"])
    strategy.requests = [sampling]
    with pytest.raises(ValueError, match=r"asks for .*minimum_crop_pixels 65, .* has \(64\)\. Set data\."):
        fit(data_of(source, None), strategy)


def test_epochs_cut_short_by_the_trainer_go_on_where_they_stopped(make_folder: MakeFolder) -> None:
    data = data_of(make_folder("source", 12), None, steps_per_epoch=4)
    whole = fit(data, Declares(["source"]), max_epochs=3)
    short = fit(data, Declares(["source"]), max_epochs=4, limit_train_batches=3)
    assert same(short.seen, whole.seen)


def test_overfit_batches_repeats_the_same_batches(make_folder: MakeFolder) -> None:
    data = data_of(make_folder("source", 12), None)
    seen = fit(data, Declares(["source"]), max_epochs=2, overfit_batches=2).seen
    assert same(seen[:2], seen[2:])


def test_two_ranks_share_the_order_of_one(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    target = make_folder("target", 13, masks=[])

    def drawn(rank: int, world_size: int) -> list[str]:
        data = data_of(None, target, batch_size=2)
        data.trainer = quiet_trainer()
        data.trainer.strategy.connect(Recorder(Declares(["target"])))
        monkeypatch.setattr(data, "_rank_and_world_size", lambda: (rank, world_size))
        return [name for batch, _, _ in data.train_dataloader() for name in batch["target"]["name"]]

    alone, first, second = drawn(0, 1), drawn(0, 2), drawn(1, 2)
    assert (len(alone), len(first), len(second)) == (14, 8, 8)
    together = [name for pair in zip(first, second, strict=True) for name in pair]
    assert together[:14] == alone

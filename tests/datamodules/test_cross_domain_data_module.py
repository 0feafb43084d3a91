import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import albumentations
import cv2
import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from datamodules.batch import Batch, RareClassSampling, StreamName
from datamodules.cross_domain_data_module import CrossDomainDataModule
from datamodules.domain import Domain
from datamodules.folder_domain import FolderDomain
from datamodules.samplers import Draw

MakeFolder = Callable[..., Path]
CLASSES = ["road", "car", "sky"]


class Declares:
    """Stands for a strategy: the data module reads nothing else of one."""

    name = "Declares"

    def __init__(self, required: Sequence[StreamName], optional: Sequence[StreamName] = ()) -> None:
        self.required_streams = required
        self.optional_streams = optional
        self.requests: Sequence[RareClassSampling] = ()


class Recorder(LightningModule):
    """Keeps what it is given."""

    consumed_batches: Tensor

    def __init__(self, strategy: Declares) -> None:
        super().__init__()
        self.strategy = strategy
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer("consumed_batches", torch.tensor(0))
        self.seen: list[Batch] = []
        self.scored: list[Any] = []

    def training_step(self, batch: Batch) -> Tensor:
        self.seen.append(batch)
        self.consumed_batches += 1
        return self.weight.sum()

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.scored.append(batch)

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return batch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def _data(source: Path | None, target: Path | None, **options: Any) -> CrossDomainDataModule:
    options = {"classes": CLASSES, "batch_size": 2, "crop": (8, 8), "workers": 0, **options}
    return CrossDomainDataModule(
        None if source is None else str(source), None if target is None else str(target), **options
    )


def _trainer(**options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


def _fit(data: CrossDomainDataModule, strategy: Declares, **options: Any) -> Recorder:
    module = Recorder(strategy)
    _trainer(**{"max_epochs": 1, "limit_val_batches": 0, **options}).fit(module, data)
    return module


def _same(first: Sequence[Batch], second: Sequence[Batch]) -> bool:
    return len(first) == len(second) and all(
        one.keys() == other.keys()
        and all(
            one[stream]["name"] == other[stream]["name"] and torch.equal(one[stream]["image"], other[stream]["image"])
            for stream in one
        )
        for one, other in zip(first, second, strict=True)
    )


# Streams


def test_a_strategy_gets_the_streams_it_declares_and_no_others(make_folder: MakeFolder) -> None:
    data = _data(make_folder("source", 12), make_folder("target", 9, masks=[]))
    module = _fit(data, Declares(["source"], ["target", "labelled_target"]))
    assert len(module.seen) == 4  # 8 source images to train, in batches of 2
    for batch in module.seen:
        assert set(batch) == {"source", "target"}
        assert set(batch["source"]) == {"image", "mask", "name", "domain", "part"}
        assert set(batch["target"]) == {"image", "name", "domain", "part"}
        assert batch["source"]["image"].dtype == torch.float32
        assert batch["source"]["image"].max() <= 1
        assert batch["source"]["mask"].dtype == torch.int64
        assert (batch["source"]["domain"], batch["target"]["domain"]) == ("source", "target")
    assert sorted(name for batch in module.seen for name in batch["source"]["name"]) == data.splits()["source"]["train"]
    assert set(_fit(data, Declares(["source"])).seen[0]) == {"source"}


def test_an_epoch_passes_over_the_longest_labelled_stream(make_folder: MakeFolder) -> None:
    source, target = make_folder("source", 12), make_folder("target", 20)
    assert len(_fit(_data(source, target), Declares(["source", "target"])).seen) == 4
    assert len(_fit(_data(source, target), Declares(["target"])).seen) == 7
    given = _data(source, target, labels="all")
    assert len(_fit(given, Declares(["source", "labelled_target"])).seen) == 7
    assert len(_fit(_data(source, target, steps_per_epoch=3), Declares(["source"])).seen) == 3


def test_target_masks_that_were_not_given_change_nothing(make_folder: MakeFolder, tmp_path: Path) -> None:
    source, target = make_folder("source", 6), make_folder("target", 20)
    strategy = Declares(["source", "target"], ["labelled_target"])
    (target / "train.txt").write_text("".join(f"target_{index:02d}\n" for index in range(20)))
    honest = _fit(_data(source, target), strategy)
    for mask in (target / "masks").iterdir():
        mask.write_bytes(b"garbage")
    assert _same(_fit(_data(source, target), strategy).seen, honest.seen)
    (target / "masks").rename(tmp_path / "elsewhere")
    assert _same(_fit(_data(source, target), strategy).seen, honest.seen)


def test_only_given_target_masks_are_opened(make_folder: MakeFolder) -> None:
    source, target = make_folder("source", 6), make_folder("target", 20)
    data = _data(source, target, labels=3)
    for mask in (target / "masks").iterdir():
        if mask.stem not in data.labelled_names:
            mask.write_bytes(b"garbage")
    module = _fit(data, Declares(["source", "labelled_target", "target"]))
    assert {name for batch in module.seen for name in batch["labelled_target"]["name"]} == set(data.labelled_names)
    assert data.labels_used == 3


def test_labels_that_the_strategy_does_not_take_are_not_counted(make_folder: MakeFolder) -> None:
    data = _data(make_folder("source", 6), make_folder("target", 9), labels=2)
    assert data.labels_used == 2
    _fit(data, Declares(["source"]))
    assert data.labels_used == 0


def test_missing_streams_are_named_with_the_mend(make_folder: MakeFolder) -> None:
    source, target = make_folder("source", 6), make_folder("target", 9)
    with pytest.raises(ValueError) as caught:
        _fit(_data(source, target), Declares(["labelled_target"]))
    assert str(caught.value) == (
        "Declares requires labelled target images, but data.labels is none. "
        "Set data.labels to a number, a list file or all."
    )
    with pytest.raises(ValueError, match="FineTune requires source images, but there is no source domain"):
        _data(None, target).streams(["source"], strategy="FineTune")
    with pytest.raises(ValueError, match="requires target images, but there is no target domain"):
        _data(source, None).streams(["target"])
    (source / "test.txt").write_text("source_00\n")
    with pytest.raises(ValueError, match="requires source images, but the split source/train is empty"):
        _data(source, target).streams(["source"])
    with pytest.raises(ValueError, match="declares the stream 'sorce'; streams are source, labelled_target, target"):
        _data(source, target).streams(["sorce"])  # type: ignore[list-item]


def test_a_source_image_without_mask_is_refused(make_folder: MakeFolder) -> None:
    source = make_folder("source", 9, masks=range(3))
    with pytest.raises(ValueError, match=r"source images without a mask: .*source_03.* and 1 more"):
        _data(source, None).streams(["source"])


def test_a_mask_without_image_is_refused_where_masks_are_read(make_folder: MakeFolder) -> None:
    source, target = make_folder("source", 6), make_folder("target", 6)
    (target / "images" / "target_00.png").unlink()
    _data(source, target).streams(["source", "target"])
    with pytest.raises(ValueError, match=r"masks without an image.*target_00"):
        _data(source, target, labels=1).streams(["labelled_target"])


# Labels


def test_numbers_of_labels_are_nested_and_seeded(make_folder: MakeFolder) -> None:
    target = make_folder("target", 40)
    chosen = [set(_data(None, target, labels=count).labelled_names) for count in (0, 1, 5, "12")]
    assert [len(names) for names in chosen] == [0, 1, 5, 12]
    assert chosen[1] < chosen[2] < chosen[3]
    data = _data(None, target, labels=5)
    assert chosen[2] == set(data.labelled_names) <= set(data.splits()["target"]["train"])
    assert chosen[2] != set(_data(None, target, labels=5, seed=1).labelled_names)


def test_labels_by_list_and_all(make_folder: MakeFolder, tmp_path: Path) -> None:
    target = make_folder("target", 6)
    train = _data(None, target).splits()["target"]["train"]
    assert _data(None, target, labels="all").labelled_names == train
    (tmp_path / "mine.txt").write_text(f"{train[1]}.png\n{train[0]}\n")
    assert _data(None, target, labels=str(tmp_path / "mine.txt")).labelled_names == train[:2]


def test_labels_that_do_not_exist_are_refused(make_folder: MakeFolder, tmp_path: Path) -> None:
    target = make_folder("target", 10, masks=range(5))
    with pytest.raises(ValueError, match=r"data\.labels is 60, but target/train has only 3 images with a mask"):
        _ = _data(None, target, labels=60).labelled_names
    with pytest.raises(ValueError, match=r"target images without a mask: target_05, .*; data\.labels is all"):
        _ = _data(None, target, labels="all").labelled_names
    with pytest.raises(FileNotFoundError, match=r"data\.labels is 'al', which is neither none, all, a number, a share"):
        _ = _data(None, target, labels="al").labelled_names
    with pytest.raises(ValueError, match=r"data\.labels is -1"):
        _data(None, target, labels="-1")
    with pytest.raises(ValueError, match=r"data\.labels is 5, but there is no target domain"):
        _ = _data(target, None, labels=5).labelled_names
    (tmp_path / "mine.txt").write_text("\ntarget_5\n")
    with pytest.raises(ValueError, match=r"mine\.txt, line 2: 'target_5' is not an image of target/train.*'target_05'"):
        _ = _data(None, target, labels=str(tmp_path / "mine.txt")).labelled_names


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
    whole = _fit(_data(source, target, steps_per_epoch=5, **settings), strategy, max_epochs=-1, max_steps=12)
    assert len(whole.seen) == 12

    def _data_again() -> CrossDomainDataModule:
        return _data(source, target, steps_per_epoch=5, workers=workers, **settings)

    options = {"max_epochs": -1, "limit_val_batches": 0}
    first, resumed = Recorder(strategy), Recorder(strategy)
    trainer = _trainer(max_steps=3, **options)
    trainer.fit(first, _data_again())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    _trainer(max_steps=12, **options).fit(resumed, _data_again(), ckpt_path=str(tmp_path / "last.ckpt"))
    assert _same(first.seen + resumed.seen, whole.seen)
    for batch in whole.seen if settings else []:
        assert not {"source_03", "target_03"} & {*batch["source"]["name"], *batch["target"]["name"]}
        assert batch["target"]["strong"].shape == batch["target"]["image"].shape
        assert not torch.equal(batch["target"]["strong"], batch["target"]["image"])


def test_a_broken_file_ends_a_training_or_is_skipped_and_counted(
    make_folder: MakeFolder, recwarn: pytest.WarningsRecorder
) -> None:
    source = make_folder("source", 9)
    broken = _data(source, None).splits()["source"]["train"][0]
    (source / "masks" / f"{broken}.png").write_bytes(b"garbage")
    strategy = Declares(["source"])
    with pytest.raises(ValueError, match=rf"{broken}\.png is"):
        _fit(_data(source, None), strategy)
    _fit(_data(source, None, on_bad_file="skip"), strategy, max_epochs=3)
    said = [str(warning.message) for warning in recwarn if "skipped" in str(warning.message)]
    assert len(said) == 2  # the file once, and the count at the end
    assert f"skipped source image {broken}" in said[0]
    assert f"skipped 3 draws of 1 unreadable files: source image {broken} (3 ×)" in said[1]


def test_only_files_are_skipped_never_what_is_wrong_with_classes_or_augmentation(make_folder: MakeFolder) -> None:
    source = make_folder("source", 9, classes=4)
    with pytest.raises(ValueError, match="holds class id 3"):
        _fit(_data(source, None, on_bad_file="skip"), Declares(["source"]))
    wrong = [albumentations.Normalize(normalization="image")]  # makes floats of bytes
    with pytest.raises(ValueError, match=r"data\.augmentation: Normalize"):
        _fit(_data(make_folder("plain", 9), None, on_bad_file="skip", augmentation=wrong), Declares(["source"]))


def test_counting_for_rare_classes_opens_no_mask_that_was_not_given(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "cache"))
    target = make_folder("target", 20)
    given = _data(None, target, labels=3).labelled_names
    assert len(given) == 3
    for mask in (target / "masks").iterdir():
        if mask.stem not in given:
            mask.write_bytes(b"garbage")
    data = _data(None, target, labels=3, rare_class_sampling=RARE)
    module = _fit(data, Declares(["labelled_target", "target"]), max_steps=3)
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
    data = _data(source, None)
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
    names = _data(source, None).splits()["source"]["train"]
    rare = names[3]
    for name in names:
        mask = np.zeros((12, 16), np.uint8)
        mask[:6] = 1
        mask[0, :8] = 2 if name == rare else 0
        cv2.imwrite(str(source / "masks" / f"{name}.png"), mask)
    strategy = Declares(["source"])

    def share_of_rare(requests: list[RareClassSampling], **settings: Any) -> float:
        strategy.requests = requests
        module = _fit(_data(source, None, steps_per_epoch=20, **settings), strategy, max_epochs=1)
        drawn = [name for batch in module.seen for name in batch["source"]["name"]]
        return drawn.count(rare) / len(drawn)

    sharp, flat = (RareClassSampling(temperature, 5, 0) for temperature in (0.001, 1000.0))
    assert share_of_rare([]) == pytest.approx(1 / len(names), abs=0.03)
    assert share_of_rare([sharp]) == 1
    # Without sharpness each class is as likely as any other: a third of the draws want the one that this image has.
    flattened = share_of_rare([sharp], rare_class_sampling=flat)
    assert flattened == pytest.approx(1 / 3 + 2 / 3 / len(names), abs=0.15)


def test_epochs_cut_short_by_the_trainer_go_on_where_they_stopped(make_folder: MakeFolder) -> None:
    data = _data(make_folder("source", 12), None, steps_per_epoch=4)
    whole = _fit(data, Declares(["source"]), max_epochs=3)
    short = _fit(data, Declares(["source"]), max_epochs=4, limit_train_batches=3)
    assert _same(short.seen, whole.seen)


def test_overfit_batches_repeats_the_same_batches(make_folder: MakeFolder) -> None:
    data = _data(make_folder("source", 12), None)
    seen = _fit(data, Declares(["source"]), max_epochs=2, overfit_batches=2).seen
    assert _same(seen[:2], seen[2:])


def test_two_ranks_share_the_order_of_one(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    target = make_folder("target", 13, masks=[])

    def drawn(rank: int, world_size: int) -> list[str]:
        data = _data(None, target, batch_size=2)
        data.trainer = _trainer()
        data.trainer.strategy.connect(Recorder(Declares(["target"])))
        monkeypatch.setattr(data, "_rank_and_world_size", lambda: (rank, world_size))
        return [name for batch, _, _ in data.train_dataloader() for name in batch["target"]["name"]]

    alone, first, second = drawn(0, 1), drawn(0, 2), drawn(1, 2)
    assert (len(alone), len(first), len(second)) == (14, 8, 8)
    together = [name for pair in zip(first, second, strict=True) for name in pair]
    assert together[:14] == alone


# Scores and predictions


def test_whole_images_of_each_domain_are_scored_one_at_a_time(make_folder: MakeFolder) -> None:
    data = _data(make_folder("source", 20), make_folder("target", 20, size=(9, 11)))
    module = Recorder(Declares(["source"]))
    _trainer().validate(module, data, verbose=False)
    assert [batch["domain"] for batch in module.scored] == ["source"] * 3 + ["target"] * 3
    names = [name for batch in module.scored for name in batch["name"]]
    assert names == [*data.splits()["source"]["val"], *data.splits()["target"]["val"]]
    assert module.scored[-1]["image"].shape == (1, 3, 9, 11)
    assert module.scored[-1]["mask"].shape == (1, 9, 11)
    assert module.scored[-1]["image"].is_floating_point()


def test_a_domain_without_labels_is_left_out_of_the_scores(
    make_folder: MakeFolder, caplog: pytest.LogCaptureFixture
) -> None:
    data = _data(make_folder("source", 20), make_folder("target", 20, masks=[]))
    assert data.scored("test") == {"source": [""]}
    with caplog.at_level("INFO"):
        assert len(data.test_dataloader()) == 1
    assert "target/test is left out of the scores: it is empty." in caplog.text


def test_nothing_to_score_names_the_split(make_folder: MakeFolder) -> None:
    with pytest.raises(ValueError, match="no labelled images to score: the split 'val' is empty or without masks in t"):
        _data(None, make_folder("target", 20, masks=[])).val_dataloader()


def test_a_listed_split_is_scored_with_all_its_masks_or_not_at_all(make_folder: MakeFolder) -> None:
    target = make_folder("target", 4, masks=[0, 1])
    (target / "val.txt").write_text("target_01\ntarget_02\n")
    with pytest.raises(ValueError, match="target images without a mask: target_02; target/val is scored with all"):
        _data(None, target).val_dataloader()


def test_scores_on_two_ranks_count_every_image_once(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _data(None, make_folder("target", 20))
    names: list[str] = []
    for rank in range(2):
        monkeypatch.setattr(data, "_rank_and_world_size", lambda rank=rank: (rank, 2))
        names += [name for batch in data.val_dataloader()[0] for name in batch["name"]]
    assert sorted(names) == data.splits()["target"]["val"]
    monkeypatch.setattr(data, "_rank_and_world_size", lambda: (0, 4))
    with pytest.raises(ValueError, match=r"target/val has fewer images \(3\) than there are ranks \(4\)"):
        data.val_dataloader()


def _predicted(data: CrossDomainDataModule) -> list[Any]:
    batches = _trainer().predict(Recorder(Declares([])), data)
    assert batches is not None
    return batches


def test_a_split_is_predicted_without_its_masks(make_folder: MakeFolder) -> None:
    target = make_folder("target", 4)
    (target / "test.txt").write_text("target_03\ntarget_01\n")
    for mask in (target / "masks").iterdir():
        mask.write_bytes(b"garbage")
    batches = _predicted(_data(None, target))
    assert [batch["name"] for batch in batches] == [["target_01"], ["target_03"]]
    assert set(batches[0]) == {"image", "name", "domain", "part"}
    assert batches[0]["image"].dtype == torch.uint8


def test_a_folder_of_any_depth_or_one_image_is_predicted_without_domains(make_folder: MakeFolder) -> None:
    images = make_folder("target", 3, masks=[]) / "images"
    (images / "deep").mkdir()
    (images / "target_02.png").rename(images / "deep" / "c.png")
    (images / "train.txt").write_text("target_00\n")
    data = CrossDomainDataModule(predict=str(images), workers=0)
    assert data.classes == []
    assert [batch["name"][0] for batch in _predicted(data)] == ["deep/c", "target_00", "target_01"]
    one = CrossDomainDataModule(predict=str(images / "target_01.png"), workers=0)
    assert [batch["name"][0] for batch in _predicted(one)] == ["target_01"]


def test_what_cannot_be_predicted_is_named(make_folder: MakeFolder, tmp_path: Path) -> None:
    target = make_folder("target", 3, masks=[])
    for predict, message in (
        ("target/test", "data.predict is target/test, but this split is empty"),
        ("source/val", "data.predict is source/val, but there is no source domain"),
        ("nowhere", "data.predict is 'nowhere': neither a split such as target/test nor a file or folder"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            _data(None, target, predict=predict).predict_dataloader()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"notes\.txt is no image: looked for \.jpg"):
        _data(None, target, predict=str(tmp_path / "notes.txt")).predict_dataloader()
    labelled = make_folder("labelled", 1)
    with pytest.raises(ValueError, match=r"holds masks too. Set it to .*images"):
        _data(None, target, predict=str(labelled)).predict_dataloader()


# What is said


def test_fewer_images_than_a_batch_is_said(make_folder: MakeFolder) -> None:
    data = _data(make_folder("source", 2), None, batch_size=5)
    with pytest.warns(UserWarning, match=r"stream source has fewer images \(2\) than a batch on all ranks \(5\)"):
        module = _fit(data, Declares(["source"]))
    assert module.seen[0]["source"]["image"].shape[0] == 5


def test_an_absent_class_is_named(make_folder: MakeFolder) -> None:
    data = _data(make_folder("source", 6, classes=2), make_folder("target", 6), labels="none")
    with pytest.warns(UserWarning, match="classes absent from the 4 training masks read: sky"):
        data.setup("fit")
    assert _data(make_folder("other", 6), None).absent_classes() == []


def test_masks_of_0_and_255_get_a_hint(make_folder: MakeFolder) -> None:
    source = make_folder("source", 3)
    for path in (source / "masks").iterdir():
        cv2.imwrite(str(path), np.array([[0, 255] * 8] * 12, np.uint8))
    with pytest.warns(UserWarning, match=r"absent from .*: car\. .*set label_map: \{255: 1\}"):
        _data(source, None, classes=["road", "car"]).setup("fit")


@pytest.mark.parametrize(
    ("found", "channels", "said"),
    [(1, 3, "source: grey images are replicated"), (3, 1, "made grey|converted to grey"), (4, 3, "fourth channel")],
)
def test_converted_channels_are_said_once(
    make_folder: MakeFolder, recwarn: pytest.WarningsRecorder, found: int, channels: int, said: str
) -> None:
    data = _data(make_folder("source", 20, channels=found), None, channels=channels)
    module = Recorder(Declares(["source"]))
    _trainer(max_epochs=1).fit(module, data)
    assert module.seen[0]["source"]["image"].shape[1] == channels
    messages = [str(warning.message) for warning in recwarn if "data.channels is" in str(warning.message)]
    assert len(messages) == 1
    assert any(part in messages[0] for part in said.split("|"))


def test_five_channels_from_numpy_files(make_folder: MakeFolder) -> None:
    source = make_folder("source", 3)
    for path in (source / "images").glob("*.png"):
        np.save(path.with_suffix(".npy"), np.random.default_rng(0).random((12, 16, 5), dtype=np.float32) * 1000)
        path.unlink()
    data = CrossDomainDataModule(
        FolderDomain(str(source), value_range=(0, 1000)),
        classes=CLASSES,
        channels=5,
        batch_size=2,
        crop=(8, 8),
        workers=0,
    )
    image = _fit(data, Declares(["source"])).seen[0]["source"]["image"]
    assert image.shape == (2, 5, 8, 8)
    assert image.dtype == torch.float32
    assert 0 <= image.min() < 0.2
    assert 0.8 < image.max() <= 1
    with pytest.raises(ValueError, match=r"source image source_.* has 5 channels, but data.channels is 3"):
        _fit(
            CrossDomainDataModule(FolderDomain(str(source), value_range=(0, 1)), classes=CLASSES, workers=0),
            Declares(["source"]),
        )


# What is given


class Knowing(Domain):
    """Knows its classes."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes

    def names(self, split: str) -> list[str]:
        return []

    def has_mask(self, name: str) -> bool:
        return False

    def read_image(self, name: str) -> Any:
        raise NotImplementedError

    def read_mask(self, name: str) -> Any:
        raise NotImplementedError


def test_classes_come_from_the_argument_or_the_domains(make_folder: MakeFolder) -> None:
    target = str(make_folder("target", 2))
    assert CrossDomainDataModule(Knowing(CLASSES), target).classes == CLASSES
    assert CrossDomainDataModule(Knowing(CLASSES), Knowing(tuple(CLASSES)), CLASSES).classes == CLASSES
    with pytest.raises(ValueError, match=r"data\.classes is not given"):
        CrossDomainDataModule(target, target)
    with pytest.raises(ValueError, match=r"the source domain has the classes .*, but the target domain has"):
        CrossDomainDataModule(Knowing(CLASSES), Knowing(CLASSES[::-1]))
    with pytest.raises(ValueError, match=r"source\.init_args\.label_map: the run has no class sky; .* '\*': ignore"):
        CrossDomainDataModule(Knowing(CLASSES), classes=["road", "car"])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["road"], "has 1 classes; there are at least 2 and at most 254"),
        ([str(index) for index in range(255)], "has 255 classes"),
        (["road", "car", "road"], "names classes twice: road"),
    ],
)
def test_wrong_classes_are_refused(classes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossDomainDataModule("somewhere", classes=classes)


@pytest.mark.parametrize(
    ("option", "value"),
    [("channels", 0), ("batch_size", 0), ("steps_per_epoch", 0), ("workers", -1), ("seed", -1), ("crop", (0, 4))],
)
def test_numbers_out_of_bounds_are_refused(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"data.{option} is"):
        CrossDomainDataModule(**{option: value})  # type: ignore[arg-type]


def test_a_wrong_root_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"data\.init_args\.source: root '.*nowhere' does not exist"):
        _data(tmp_path / "nowhere", None).splits()


def test_workers_can_be_spawned(make_folder: MakeFolder) -> None:
    data = _data(make_folder("source", 6), None)
    data.trainer = _trainer()
    data.trainer.strategy.connect(Recorder(Declares(["source"])))
    loader = data.train_dataloader().flattened[0]
    copy = pickle.loads(pickle.dumps((loader.dataset, loader.collate_fn, loader.worker_init_fn)))
    assert torch.equal(copy[0][Draw(0, 3)]["image"], loader.dataset[Draw(0, 3)]["image"])

"""The images that are scored and predicted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from recorded import Declares, Recorder, data_of, quiet_trainer

from datamodules.cross_domain_data_module import CrossDomainDataModule

MakeFolder = Callable[..., Path]


# Scores and predictions


def test_whole_images_of_each_domain_are_scored_one_at_a_time(make_folder: MakeFolder) -> None:
    data = data_of(make_folder("source", 20), make_folder("target", 20, size=(9, 11)))
    module = Recorder(Declares(["source"]))
    quiet_trainer().validate(module, data, verbose=False)
    assert [batch["domain"] for batch in module.scored] == ["source"] * 3 + ["target"] * 3
    names = [name for batch in module.scored for name in batch["name"]]
    assert names == [*data.splits()["source"]["val"], *data.splits()["target"]["val"]]
    assert module.scored[-1]["image"].shape == (1, 3, 9, 11)
    assert module.scored[-1]["mask"].shape == (1, 9, 11)
    assert module.scored[-1]["image"].is_floating_point()


def test_a_domain_without_labels_is_left_out_of_the_scores(
    make_folder: MakeFolder, caplog: pytest.LogCaptureFixture
) -> None:
    data = data_of(make_folder("source", 20), make_folder("target", 20, masks=[]))
    assert data.scored("test") == {"source": [""]}
    with caplog.at_level("INFO"):
        assert len(data.test_dataloader()) == 1
    assert "target/test is left out of the scores: it is empty." in caplog.text


def test_nothing_to_score_names_the_split(make_folder: MakeFolder) -> None:
    with pytest.raises(ValueError, match="no labelled images to score: the split 'val' is empty or without masks in s"):
        data_of(make_folder("source", 20, masks=[]), None).val_dataloader()
    with pytest.raises(ValueError, match="no labelled images to score: the split 'test' is empty or w"):
        data_of(None, make_folder("target", 20, masks=[])).test_dataloader()


def test_a_target_without_labels_is_validated_without_masks(make_folder: MakeFolder) -> None:
    target = make_folder("target", 6, masks=[])
    (target / "val.txt").write_text("target_04\ntarget_01\n")
    module = Recorder(Declares(["source"]))
    quiet_trainer().validate(module, data_of(make_folder("source", 20), target), verbose=False)
    assert [batch["domain"] for batch in module.scored] == ["source"] * 3 + ["target"] * 2
    assert [batch["name"] for batch in module.scored[3:]] == [["target_01"], ["target_04"]]
    assert all("mask" in batch for batch in module.scored[:3])
    assert all("mask" not in batch and batch["image"].is_floating_point() for batch in module.scored[3:])


def test_without_validation_images_some_of_the_training_are_taken_and_no_mask_is_opened(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make_folder("target", 7)
    (target / "train.txt").write_text("".join(f"target_{number:02}\n" for number in range(7)))
    for mask in (target / "masks").iterdir():
        mask.write_bytes(b"garbage")
    monkeypatch.setattr("datamodules.unlabelled_images.MOST_OF_TRAINING", 3)
    data = data_of(None, target)
    module = Recorder(Declares(["source"]))
    quiet_trainer().validate(module, data, verbose=False)
    assert [batch["name"] for batch in module.scored] == [["target_01"], ["target_03"], ["target_05"]]
    assert not any("mask" in batch for batch in module.scored)
    # Ranks without an image of their own could not wait for each other.
    names: list[str] = []
    for rank in range(3):
        monkeypatch.setattr(data, "_rank_and_world_size", lambda rank=rank: (rank, 3))
        names += [name for batch in data.val_dataloader()[0] for name in batch["name"]]
    assert sorted(names) == ["target_01", "target_03", "target_05"]
    monkeypatch.setattr(data, "_rank_and_world_size", lambda: (0, 4))
    assert not len(data.unlabelled())


def test_of_a_joined_target_the_part_without_labels_is_validated_too(make_folder: MakeFolder) -> None:
    labelled, unlabelled = make_folder("day", 20), make_folder("night", 4, masks=[])
    (unlabelled / "val.txt").write_text("night_02\n")
    data = CrossDomainDataModule(target=[str(labelled), str(unlabelled)], classes=["road", "car", "sky"], workers=0)
    assert list(data.unlabelled()) == ["night/night_02"] and data.scored("val") == {"target": ["day"]}
    batches = [batch for loader in data.val_dataloader() for batch in loader]
    assert [(batch["part"], "mask" in batch) for batch in batches] == [("day", True)] * 3 + [("night", False)]


def test_a_listed_split_is_scored_with_all_its_masks_or_not_at_all(make_folder: MakeFolder) -> None:
    target = make_folder("target", 4, masks=[0, 1])
    (target / "val.txt").write_text("target_01\ntarget_02\n")
    with pytest.raises(ValueError, match="target images without a mask: target_02; target/val is scored with all"):
        data_of(None, target).val_dataloader()


def test_scores_on_two_ranks_count_every_image_once(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_of(None, make_folder("target", 20))
    names: list[str] = []
    for rank in range(2):
        monkeypatch.setattr(data, "_rank_and_world_size", lambda rank=rank: (rank, 2))
        names += [name for batch in data.val_dataloader()[0] for name in batch["name"]]
    assert sorted(names) == data.splits()["target"]["val"]
    monkeypatch.setattr(data, "_rank_and_world_size", lambda: (0, 4))
    with pytest.raises(ValueError, match=r"target/val has fewer images \(3\) than there are ranks \(4\)"):
        data.val_dataloader()


def _predicted(data: CrossDomainDataModule) -> list[Any]:
    batches = quiet_trainer().predict(Recorder(Declares([])), data)
    assert batches is not None
    return batches


def test_a_split_is_predicted_without_its_masks(make_folder: MakeFolder) -> None:
    target = make_folder("target", 4)
    (target / "test.txt").write_text("target_03\ntarget_01\n")
    for mask in (target / "masks").iterdir():
        mask.write_bytes(b"garbage")
    batches = _predicted(data_of(None, target))
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
            data_of(None, target, predict=predict).predict_dataloader()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"notes\.txt is no image: looked for \.jpg"):
        data_of(None, target, predict=str(tmp_path / "notes.txt")).predict_dataloader()
    labelled = make_folder("labelled", 1)
    with pytest.raises(ValueError, match=r"holds masks too. Set it to .*images"):
        data_of(None, target, predict=str(labelled)).predict_dataloader()

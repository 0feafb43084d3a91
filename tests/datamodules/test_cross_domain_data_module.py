"""The streams of training, the labels they may use, what is said and what is given."""

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from recorded import CLASSES, Declares, Recorder, data_of, fit, quiet_trainer, same

from datamodules.batch import IGNORE
from datamodules.cross_domain_data_module import CrossDomainDataModule
from datamodules.domain import Domain
from datamodules.folder_domain import FolderDomain
from datamodules.samplers import Draw

MakeFolder = Callable[..., Path]


# Streams


def test_a_strategy_gets_the_streams_it_declares_and_no_others(make_folder: MakeFolder) -> None:
    data = data_of(make_folder("source", 12), make_folder("target", 9, masks=[]))
    module = fit(data, Declares(["source"], ["target", "labelled_target"]))
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
    assert set(fit(data, Declares(["source"])).seen[0]) == {"source"}


def test_an_epoch_passes_over_the_longest_labelled_stream(make_folder: MakeFolder) -> None:
    source, target = make_folder("source", 12), make_folder("target", 20)
    assert len(fit(data_of(source, target), Declares(["source", "target"])).seen) == 4
    assert len(fit(data_of(source, target), Declares(["target"])).seen) == 7
    given = data_of(source, target, labels="all")
    assert len(fit(given, Declares(["source", "labelled_target"])).seen) == 7
    assert len(fit(data_of(source, target, steps_per_epoch=3), Declares(["source"])).seen) == 3


def test_target_masks_that_were_not_given_change_nothing(make_folder: MakeFolder, tmp_path: Path) -> None:
    source, target = make_folder("source", 6), make_folder("target", 20)
    strategy = Declares(["source", "target"], ["labelled_target"])
    (target / "train.txt").write_text("".join(f"target_{index:02d}\n" for index in range(20)))
    honest = fit(data_of(source, target), strategy)
    for mask in (target / "masks").iterdir():
        mask.write_bytes(b"garbage")
    assert same(fit(data_of(source, target), strategy).seen, honest.seen)
    (target / "masks").rename(tmp_path / "elsewhere")
    assert same(fit(data_of(source, target), strategy).seen, honest.seen)


def test_only_given_target_masks_are_opened(make_folder: MakeFolder) -> None:
    source, target = make_folder("source", 6), make_folder("target", 20)
    data = data_of(source, target, labels=3)
    for mask in (target / "masks").iterdir():
        if mask.stem not in data.labelled_names:
            mask.write_bytes(b"garbage")
    module = fit(data, Declares(["source", "labelled_target", "target"]))
    assert {name for batch in module.seen for name in batch["labelled_target"]["name"]} == set(data.labelled_names)
    assert data.labels_used == 3


def test_labels_that_the_strategy_does_not_take_are_not_counted(make_folder: MakeFolder) -> None:
    data = data_of(make_folder("source", 6), make_folder("target", 9), labels=2)
    assert data.labels_used == 2
    fit(data, Declares(["source"]))
    assert data.labels_used == 0


def test_missing_streams_are_named_with_the_mend(make_folder: MakeFolder) -> None:
    source, target = make_folder("source", 6), make_folder("target", 9)
    with pytest.raises(ValueError) as caught:
        fit(data_of(source, target), Declares(["labelled_target"]))
    assert str(caught.value) == (
        "Declares requires labelled target images, but data.labels is none. "
        "Set data.labels to a number, a list file or all."
    )
    with pytest.raises(ValueError, match="FineTune requires source images, but there is no source domain"):
        data_of(None, target).streams(["source"], strategy="FineTune")
    with pytest.raises(ValueError, match="requires target images, but there is no target domain"):
        data_of(source, None).streams(["target"])
    (source / "test.txt").write_text("source_00\n")
    with pytest.raises(ValueError, match="requires source images, but the split source/train is empty"):
        data_of(source, target).streams(["source"])
    with pytest.raises(ValueError, match="declares the stream 'sorce'; streams are source, labelled_target, target"):
        data_of(source, target).streams(["sorce"])  # type: ignore[list-item]  # the mistake is what is tested


def test_a_source_image_without_mask_is_refused(make_folder: MakeFolder) -> None:
    source = make_folder("source", 9, masks=range(3))
    with pytest.raises(ValueError, match=r"source images without a mask: .*source_03.* and 1 more"):
        data_of(source, None).streams(["source"])


def test_a_mask_without_image_is_refused_where_masks_are_read(make_folder: MakeFolder) -> None:
    source, target = make_folder("source", 6), make_folder("target", 6)
    (target / "images" / "target_00.png").unlink()
    data_of(source, target).streams(["source", "target"])
    with pytest.raises(ValueError, match=r"masks without an image.*target_00"):
        data_of(source, target, labels=1).streams(["labelled_target"])


def test_source_and_target_are_scaled_by_factors_of_their_own(make_folder: MakeFolder) -> None:
    folders = make_folder("source", 6), make_folder("target", 6)
    # Half as large, an image of 12 × 16 fills 6 rows of a crop of 8: the other two mirror it.
    for half, whole in (("source", "target"), ("target", "source")):
        data = data_of(*folders, labels="all", scale={half: (0.5, 0.5), whole: (1.0, 1.0)}, augmentation=[])
        for batch in fit(data, Declares(["source", "target", "labelled_target"])).seen:
            images = {stream: one["image"] for stream, one in batch.items()}
            padded = {name: torch.equal(one[..., 6:, :], one[..., [5, 4], :]) for name, one in images.items()}
            assert padded == {stream: half in stream for stream in ("source", "target", "labelled_target")}
            for stream in ("source", "labelled_target"):
                ignored = batch[stream]["mask"] == IGNORE
                assert ignored[:, 6:].all() == padded[stream] and not ignored[:, :6].any()


# Labels


def test_numbers_of_labels_are_nested_and_seeded(make_folder: MakeFolder) -> None:
    target = make_folder("target", 40)
    chosen = [set(data_of(None, target, labels=count).labelled_names) for count in (0, 1, 5, "12")]
    assert [len(names) for names in chosen] == [0, 1, 5, 12]
    assert chosen[1] < chosen[2] < chosen[3]
    data = data_of(None, target, labels=5)
    assert chosen[2] == set(data.labelled_names) <= set(data.splits()["target"]["train"])
    assert chosen[2] != set(data_of(None, target, labels=5, seed=1).labelled_names)


def test_labels_by_list_and_all(make_folder: MakeFolder, tmp_path: Path) -> None:
    target = make_folder("target", 6)
    train = data_of(None, target).splits()["target"]["train"]
    assert data_of(None, target, labels="all").labelled_names == train
    (tmp_path / "mine.txt").write_text(f"{train[1]}.png\n{train[0]}\n")
    assert data_of(None, target, labels=str(tmp_path / "mine.txt")).labelled_names == train[:2]


def test_whole_images_come_with_the_masks_that_were_given(make_folder: MakeFolder) -> None:
    data = data_of(make_folder("source", 2), make_folder("target", 9), labels=3)
    batches = list(data.labelled_images())
    assert [name for batch in batches for name in batch["name"]] == list(data.labelled_names)
    for batch in batches:
        name = batch["name"][0]
        image, mask = data.domains["target"].read_image(name), data.domains["target"].read_mask(name)
        assert np.array_equal(batch["image"][0].movedim(0, -1), image)
        assert batch["mask"].shape == (1, *mask.shape)


def test_labels_that_do_not_exist_are_refused(make_folder: MakeFolder, tmp_path: Path) -> None:
    target = make_folder("target", 10, masks=range(5))
    with pytest.raises(ValueError, match=r"data\.labels is 60, but target/train has only 3 images with a mask"):
        _ = data_of(None, target, labels=60).labelled_names
    with pytest.raises(ValueError, match=r"target images without a mask: target_05, .*; data\.labels is all"):
        _ = data_of(None, target, labels="all").labelled_names
    with pytest.raises(FileNotFoundError, match=r"data\.labels is 'al', which is neither none, all, a number, a share"):
        _ = data_of(None, target, labels="al").labelled_names
    with pytest.raises(ValueError, match=r"data\.labels is -1"):
        data_of(None, target, labels="-1")
    with pytest.raises(ValueError, match=r"data\.labels is 5, but there is no target domain"):
        _ = data_of(target, None, labels=5).labelled_names
    (tmp_path / "mine.txt").write_text("\ntarget_5\n")
    with pytest.raises(ValueError, match=r"mine\.txt, line 2: 'target_5' is not an image of target/train.*'target_05'"):
        _ = data_of(None, target, labels=str(tmp_path / "mine.txt")).labelled_names


# What is said


def test_fewer_images_than_a_batch_is_said(make_folder: MakeFolder) -> None:
    data = data_of(make_folder("source", 2), None, batch_size=5)
    with pytest.warns(UserWarning, match=r"stream source has fewer images \(2\) than a batch on all ranks \(5\)"):
        module = fit(data, Declares(["source"]))
    assert module.seen[0]["source"]["image"].shape[0] == 5


def test_an_absent_class_is_named(make_folder: MakeFolder) -> None:
    data = data_of(make_folder("source", 6, classes=2), make_folder("target", 6), labels="none")
    with pytest.warns(UserWarning, match="classes absent from the 4 training masks read: sky"):
        data.setup("fit")
    assert data_of(make_folder("other", 6), None).absent_classes() == []


def test_masks_of_0_and_255_get_a_hint(make_folder: MakeFolder) -> None:
    source = make_folder("source", 3)
    for path in (source / "masks").iterdir():
        cv2.imwrite(str(path), np.array([[0, 255] * 8] * 12, np.uint8))
    with pytest.warns(UserWarning, match=r"absent from .*: car\. .*set label_map: \{255: 1\}"):
        data_of(source, None, classes=["road", "car"]).setup("fit")


@pytest.mark.parametrize(
    ("found", "channels", "said"),
    [(1, 3, "source: grey images are replicated"), (3, 1, "made grey|converted to grey"), (4, 3, "fourth channel")],
)
def test_converted_channels_are_said_once(
    make_folder: MakeFolder, recwarn: pytest.WarningsRecorder, found: int, channels: int, said: str
) -> None:
    data = data_of(make_folder("source", 20, channels=found), None, channels=channels)
    module = Recorder(Declares(["source"]))
    quiet_trainer(max_epochs=1).fit(module, data)
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
    image = fit(data, Declares(["source"])).seen[0]["source"]["image"]
    assert image.shape == (2, 5, 8, 8)
    assert image.dtype == torch.float32
    assert 0 <= image.min() < 0.2
    assert 0.8 < image.max() <= 1
    with pytest.raises(ValueError, match=r"source image source_.* has 5 channels, but data.channels is 3"):
        fit(
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


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ((2.0, 1.0), r"data\.scale is \[2\.0, 1\.0\]"),
        ({"source": (1.0, 1.0), "target": (2.0, 1.0)}, r"data\.scale\.target is \[2\.0, 1\.0\]"),
        ({"source": (0.0, 1.0), "target": (1.0, 1.0)}, r"data\.scale\.source is \[0\.0, 1\.0\]"),
        ({"target": (1.0, 1.0)}, r"data\.scale names target; as a mapping it has source and target"),
        ({"sorce": (1.0, 1.0), "target": (1.0, 1.0)}, r"data\.scale names sorce, target; as a mapping"),
        ({}, r"data\.scale names nothing; as a mapping"),
    ],
)
def test_factors_without_a_meaning_are_refused_by_their_key(scale: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossDomainDataModule(scale=scale)


def test_each_domain_may_have_a_strength_of_its_own(make_folder: MakeFolder) -> None:
    roots = make_folder("source", 2), make_folder("target", 2)
    views: dict[str, Any] = {}
    for strength in ("weak", "strong", {"source": "strong", "target": "weak"}):
        data = data_of(*roots, strength=strength)
        views[str(strength)] = [
            data.training_dataset(stream, names)[0]["image"].numpy()
            for stream, names in data.streams(["source", "target"]).items()
        ]
    weak, strong, own = views.values()
    assert np.array_equal(own[0], strong[0]) and not np.array_equal(own[0], weak[0])
    assert np.array_equal(own[1], weak[1]) and not np.array_equal(own[1], strong[1])
    with pytest.raises(ValueError, match=r"data\.strength\.target is 'wild'"):
        CrossDomainDataModule(strength={"source": "strong", "target": "wild"})  # type: ignore[dict-item]


def test_a_wrong_root_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"data\.init_args\.source: root '.*nowhere' does not exist"):
        data_of(tmp_path / "nowhere", None).splits()


def test_workers_can_be_spawned(make_folder: MakeFolder) -> None:
    data = data_of(make_folder("source", 6), None)
    data.trainer = quiet_trainer()
    data.trainer.strategy.connect(Recorder(Declares(["source"])))
    loader = data.train_dataloader().flattened[0]
    copy = pickle.loads(pickle.dumps((loader.dataset, loader.collate_fn, loader.worker_init_fn)))
    assert torch.equal(copy[0][Draw(0, 3)]["image"], loader.dataset[Draw(0, 3)]["image"])

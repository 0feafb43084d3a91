import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from lightning import Trainer

from datamodules import SyntheticStreets
from datamodules.cross_domain_data_module import CrossDomainDataModule
from datamodules.folder_domain import FolderDomain
from datamodules.joined_domains import JoinedDomains
from lightning_app.segmenter import Segmenter

MakeFolder = Callable[..., Path]
CLASSES = ["road", "car", "sky"]


def test_names_begin_with_their_domain_and_lead_back_to_it(make_folder: MakeFolder) -> None:
    day, fog = (FolderDomain(str(make_folder(name, 6, seed=seed))) for seed, name in enumerate(["day", "fog"]))
    joined = JoinedDomains([day, fog])
    assert joined.names("train") == [f"day/{n}" for n in day.names("train")] + [f"fog/{n}" for n in fog.names("train")]
    for name in joined.names("val"):
        one, inside = (day, name[4:]) if name.startswith("day/") else (fog, name[4:])
        np.testing.assert_array_equal(joined.read_image(name), one.read_image(inside))
        np.testing.assert_array_equal(joined.read_mask(name), one.read_mask(inside))
        assert joined.files(name) == one.files(inside)
        assert joined.part(name) == one.name
    assert joined.group("fog/fog_01") == "fog/fog_01"
    with pytest.raises(KeyError, match=r"there is no image 'rain/a'; names begin with day or fog"):
        joined.read_image("rain/a")


def test_domains_of_one_name_are_told_apart(make_folder: MakeFolder) -> None:
    one, other = SyntheticStreets("day"), SyntheticStreets("day", seed=1)
    assert list(JoinedDomains([one, other]).parts) == ["day", "day_2"]
    named = FolderDomain(str(make_folder("day_2", 1)))
    assert list(JoinedDomains([one, named, other]).parts) == ["day", "day_2", "day_3"]


def test_each_domain_has_its_own_label_map(make_folder: MakeFolder) -> None:
    plain, other = make_folder("plain", 4), make_folder("other", 4, classes=2, seed=1)
    data = CrossDomainDataModule(
        [FolderDomain(str(plain)), FolderDomain(str(other), classes=["sky", "lane"], label_map={"lane": "road"})],
        classes=CLASSES,
        workers=0,
    )
    reader = data.sides["source"].mask_reader
    for name in data.splits()["source"]["train"]:
        part, inside = name.split("/")
        ids = cv2.imread(str((plain if part == "plain" else other) / "masks" / f"{inside}.png"), cv2.IMREAD_UNCHANGED)
        assert ids is not None
        np.testing.assert_array_equal(reader(name), ids if part == "plain" else np.array([2, 0])[ids])
    with pytest.raises(ValueError, match=r"label_map of 'other' in data\.init_args\.source: .* no class lane"):
        CrossDomainDataModule([str(plain), FolderDomain(str(other), classes=["sky", "lane"])], classes=CLASSES)


def test_wrong_weights_are_refused(make_folder: MakeFolder) -> None:
    roots: list[Any] = [str(make_folder(name, 4)) for name in ("day", "fog")]
    with pytest.raises(ValueError, match=r"data\.source_weights is \[1\.0\] for 2 domains; each domain has one weight"):
        CrossDomainDataModule(roots, classes=CLASSES, source_weights=[1.0])
    with pytest.raises(ValueError, match=r"data\.target_weights is \[1\.0, 2\.0\] for 1 domains"):
        CrossDomainDataModule(roots, roots[:1], classes=CLASSES, target_weights=[1.0, 2.0])


def _streets(look: Any, **counts: int) -> SyntheticStreets:
    return SyntheticStreets(look, size=(32, 48), **{"train": 8, "val": 2, "test": 2, **counts})


def test_weights_say_how_often_each_domain_is_seen(
    make_segmenter: Callable[..., Segmenter], make_trainer: Callable[..., Trainer]
) -> None:
    from strategies import SourceOnly

    data = CrossDomainDataModule(
        [_streets("day", train=30), _streets("fog", train=4)],
        source_weights=[1, 3],
        batch_size=4,
        crop=(32, 32),
        steps_per_epoch=250,
        workers=0,
    )
    trainer = make_trainer(max_steps=1, limit_val_batches=0)
    segmenter = make_segmenter(SourceOnly())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(segmenter, data)
    segmenter.consumed_batches = 0  # the whole epoch
    sampler = data.train_dataloader().flattened[0].sampler
    names = data.splits()["source"]["train"]
    looks = [names[draw.image].partition("/")[0] for draw in sampler]
    assert (looks.count("day"), looks.count("fog")) == (250, 750)


def test_each_domain_is_scored_by_itself_and_all_together(
    make_segmenter: Callable[..., Segmenter], make_trainer: Callable[..., Trainer]
) -> None:
    targets = {"dusk": _streets("dusk"), "fog": _streets("fog", test=3)}

    def scores(target: Any) -> Any:
        segmenter = make_segmenter(None)
        data = CrossDomainDataModule(_streets("day"), target, workers=0)
        logged = make_trainer().test(segmenter, data, verbose=False)
        # Lightning gives one mapping a loader, each with what all of them logged.
        return segmenter.scores, {name: value for one in logged for name, value in one.items()}

    joined, logged = scores(list(targets.values()))
    assert list(joined) == ["source", "target", "target/dusk", "target/fog"]
    for name, domain in targets.items():
        alone, _ = scores(domain)
        assert joined[f"target/{name}"] == alone["target"]
        assert joined["source"] == alone["source"]
        assert logged[f"test/target/{name}/miou"] == pytest.approx(alone["target"].miou)
    assert joined["target"].pixels == joined["target/dusk"].pixels + joined["target/fog"].pixels == 5 * 32 * 48
    right = [joined[f"target/{name}"].pixel_accuracy * joined[f"target/{name}"].pixels for name in targets]
    assert joined["target"].pixel_accuracy == pytest.approx(sum(right) / joined["target"].pixels)


def test_a_second_test_counts_anew_and_a_part_without_labels_has_no_score(
    make_folder: MakeFolder, make_segmenter: Callable[..., Segmenter], make_trainer: Callable[..., Trainer]
) -> None:
    dark = make_folder("dark", 3, size=(32, 32), classes=2)
    for mask in (dark / "masks").iterdir():
        cv2.imwrite(str(mask), np.full((32, 32), 255, np.uint8))
    (dark / "test.txt").write_text("dark_00")
    target = [_streets("dusk"), FolderDomain(str(dark), classes=list(SyntheticStreets.classes))]
    data = CrossDomainDataModule(None, target, workers=0)
    segmenter = make_segmenter(None)
    with pytest.warns(UserWarning, match="target/dark: every pixel of the masks is 255"):
        make_trainer().test(segmenter, data, verbose=False)
    first = segmenter.scores
    assert list(first) == ["target", "target/dusk"]
    with pytest.warns(UserWarning, match="target/dark"):
        make_trainer().test(segmenter, data, verbose=False)
    assert segmenter.scores == first

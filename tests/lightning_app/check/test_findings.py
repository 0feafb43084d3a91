"""Each defect of a folder is one finding that names it and its mend."""

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules import FolderDomain
from datamodules.domain import ImageArray
from lightning_app.check.finding import Finding
from lightning_app.check.result import CheckResult
from strategies import FineTune, SourceOnly

Roots = dict[str, Path]
Check = Callable[..., CheckResult]


def gravest(result: CheckResult) -> Finding:
    """The one finding that is no note."""
    (finding,) = [finding for finding in result.findings if finding.severity != "note"]
    return finding


def paint(path: Path, pixels: Any) -> None:
    Image.fromarray(np.asarray(pixels)).save(path)


def edit_mask(path: Path, change: Callable[[Any], None]) -> None:
    mask = np.array(Image.open(path))
    change(mask)
    paint(path, mask)


def test_a_sound_pair_has_no_finding(check: Check) -> None:
    assert check().findings == []


# ---------------------------------------------------------------------------------------------------------- files


def test_all_unreadable_images_are_listed_by_what_is_wrong(check: Check, roots: Roots) -> None:
    for name in ("train_1", "val_0", "test_1"):
        (roots["source"] / f"images/{name}.png").write_bytes(b"")
    whole = (roots["source"] / "images/train_2.png").read_bytes()
    (roots["source"] / "images/train_2.png").write_bytes(whole[:-40])
    empty, cut = check().findings
    assert empty.severity == cut.severity == "error"
    assert "3 images of source cannot be read" in empty.what and "is empty" in empty.what
    assert list(empty.items) == ["source/train train_1", "source/val val_0", "source/test test_1"]
    assert "an image of source cannot be read" in cut.what and "train_2.png is not a whole and readable PNG" in cut.what


def test_files_that_training_skips_are_warnings(check: Check, roots: Roots) -> None:
    for name in ("train_1", "val_0"):
        (roots["source"] / f"images/{name}.png").write_bytes(b"")
    assert [(finding.severity, *finding.items) for finding in check(on_bad_file="skip").findings] == [
        ("warning", "source/train train_1"),
        ("error", "source/val val_0"),
    ]


def test_deep_images_without_a_value_range_are_one_finding(check: Check, roots: Roots) -> None:
    for path in (roots["target"] / "images").iterdir():
        paint(path, np.random.default_rng(0).integers(0, 60000, (12, 16), np.uint16))
    finding = gravest(check())
    assert finding.severity == "error" and "8 images of target cannot be read" in finding.what
    assert "Set value_range" in finding.what and len(finding.items) == 8


def test_channels_that_cannot_be_converted(check: Check) -> None:
    source, target = check(channels=5, augmentation="none").of_severity("error")
    assert "8 images of source do not fit data.channels" in source.what and "3 channels" in source.what
    assert "8 images of target" in target.what


def test_channels_that_are_converted_are_a_note(check: Check, roots: Roots) -> None:
    for path in (roots["target"] / "images").iterdir():
        paint(path, np.array(Image.open(path))[..., 0])
    (finding,) = check().findings
    assert finding.severity == "note" and "target: grey images are replicated to 3 channels in 8" in finding.what


def test_a_mask_of_another_size(check: Check, roots: Roots) -> None:
    paint(roots["source"] / "masks/val_1.png", np.zeros((12, 15), np.uint8))
    finding = gravest(check())
    assert finding.severity == "error" and "15 × 12 pixels, the image 16 × 12" in finding.what
    assert list(finding.items) == ["source/val val_1"]


@pytest.mark.parametrize(
    ("copied", "to", "severity", "text"),
    [
        ("source/images/train_0", "source/images/test_1", "error", "source/train train_0 = source/test test_1"),
        ("target/images/train_3", "target/images/val_0", "error", "target/train train_3 = target/val val_0"),
        ("source/images/train_2", "target/images/test_0", "error", "source/train train_2 = target/test test_0"),
        ("source/images/val_0", "source/images/test_0", "warning", "source/val val_0 = source/test test_0"),
        ("source/images/train_0", "target/images/train_1", "warning", "source/train train_0 = target/train train_1"),
        ("source/images/train_0", "source/images/train_1", "note", "source/train train_0 = source/train train_1"),
    ],
)
def test_copies_of_images(check: Check, roots: Roots, copied: str, to: str, severity: str, text: str) -> None:
    base = roots["source"].parent
    # Saved in another way: it is the pixels that count.
    Image.open(base / f"{copied}.png").save(base / f"{to}.png", compress_level=0)
    (finding,) = check().findings
    assert finding.severity == severity and list(finding.items) == [text]


def test_empty_tiles_are_no_copies(check: Check, roots: Roots) -> None:
    for name in ("train_0", "test_0"):
        paint(roots["source"] / f"images/{name}.png", np.zeros((12, 16, 3), np.uint8))
    finding = gravest(check())
    assert finding.severity == "warning" and "2 images of one value" in finding.what


def test_crops_larger_than_the_images(check: Check) -> None:
    # Of 24 × 32 pixels 12 × 16 are image: three quarters are padding.
    findings = check(crop=(24, 32)).findings
    assert [finding.severity for finding in findings] == ["warning", "warning"]
    assert "source/train: 75 % of what training sees is padding" in findings[0].what
    # Scaled by 2 and more there is none.
    assert check(crop=(24, 32), scale=(2.0, 3.0)).findings == []
    (finding,) = check(crop=(24, 32), scale={"source": (2.0, 3.0), "target": (1.0, 1.5)}).findings
    assert "target/train: " in finding.what and "scaled by 1 to 1.5" in finding.what


# ---------------------------------------------------------------------------------------------------------- labels


def test_unknown_ids_are_named_and_counted(check: Check, roots: Roots) -> None:
    def change(mask: Any) -> None:
        mask[5, :3] = 42
        mask[6, :2] = 7

    for name in ("train_0", "test_1"):
        edit_mask(roots["source"] / f"masks/{name}.png", change)
    finding = gravest(check())
    assert finding.severity == "error" and "2 masks of source with ids that no class has: 7, 42" in finding.what
    assert "in 10 of 1,536 pixels" in finding.what  # 8 masks of 12 × 16
    assert "data.init_args.source.init_args.label_map, such as {7: ignore}" in finding.mend
    assert list(finding.items) == [
        "id 7: 4 pixels in 2 masks: train_0, test_1",
        "id 42: 6 pixels in 2 masks: train_0, test_1",
    ]


def test_unknown_colours_are_one_finding(check: Check, roots: Roots) -> None:
    colors = {"road": (128, 64, 128), "sky": (70, 130, 180), "car": (0, 0, 142)}
    table = np.array([*colors.values()], np.uint8)
    for number, path in enumerate(sorted((roots["source"] / "masks").iterdir())):
        painted = table[np.random.default_rng(number).integers(0, 3, (12, 16))]
        if number < 3:
            painted[0, : number + 1] = 9, 8, 7
        paint(path, painted)
    finding = gravest(check(source={"colors": colors}))
    assert finding.severity == "error" and "3 images of source have masks that cannot be read" in finding.what
    assert "[9, 8, 7]" in finding.what and len(finding.items) == 3
    assert any("3 of its 192 pixels have colours of no class" in item for item in finding.items)


def test_rules_about_ids_that_never_occur(check: Check) -> None:
    finding = gravest(check(source={"classes": ["road", "sky", "car"], "label_map": {33: "car", 40: "ignore"}}))
    assert (
        finding.severity == "warning" and "33, 40" in finding.what and list(finding.items) == ["33: car", "40: ignore"]
    )
    (note,) = check(source={"label_map": {40: "ignore"}}).findings
    assert note.severity == "note"


def test_a_class_without_a_pixel(check: Check, roots: Roots) -> None:
    for path in (roots["source"] / "masks").iterdir():
        edit_mask(path, lambda mask: np.putmask(mask, mask == 2, 1))
    result = check()
    finding = gravest(result)
    assert finding.severity == "warning" and "none of the 4 training masks" in finding.what and "car" in finding.what
    assert [note.what.split(":")[0] for note in result.of_severity("note")] == ["source/val", "source/test"]


def test_binary_masks_of_0_and_255(check: Check, roots: Roots) -> None:
    for role in roots:
        for path in (roots[role] / "masks").iterdir():
            edit_mask(path, lambda mask: np.putmask(mask, mask > 0, 255))
    finding = gravest(check(classes=["background", "object"]))
    assert "object" in finding.what and "label_map: {255: 1}" in finding.mend


def test_a_mask_of_ignored_pixels_alone(check: Check, roots: Roots) -> None:
    paint(roots["source"] / "masks/train_3.png", np.full((12, 16), 255, np.uint8))
    finding = gravest(check())
    assert finding.severity == "warning" and list(finding.items) == ["source/train train_3"]


def test_classes_of_one_domain_alone(check: Check) -> None:
    (finding,) = [
        finding
        for finding in check(target={"classes": ["road", "sky", "ignore"]}).findings
        if "stands for" in finding.what
    ]
    assert finding.severity == "note" and "target: no id of its masks stands for car" in finding.what


# ---------------------------------------------------------------------------------------------------------- splits


def test_missing_masks_are_all_listed(check: Check, roots: Roots) -> None:
    for name in ("train_1", "train_3", "test_0"):
        (roots["source"] / f"masks/{name}.png").unlink()
    training, scored = check().findings
    assert training.severity == scored.severity == "error"
    assert "2 of 4 images of source/train have no mask" in training.what
    assert list(training.items) == ["train_1", "train_3"]
    assert "1 of 2 images of source/test" in scored.what and list(scored.items) == ["test_0"]


def test_orphaned_masks(check: Check, roots: Roots) -> None:
    shutil.copy(roots["source"] / "masks/train_0.png", roots["source"] / "masks/nobody.png")
    finding = gravest(check())
    assert finding.severity == "error" and "masks without an image" in finding.what and "nobody" in finding.what


def test_swapped_roots(check: Check, roots: Roots) -> None:
    shutil.rmtree(roots["target"] / "masks")
    roots["source"], roots["target"] = roots["target"], roots["source"]
    error = check().of_severity("error")[0]
    assert "4 of 4 images of source/train have no mask" in error.what
    assert "are source and target swapped?" in error.mend


def test_a_target_without_masks_is_the_normal_case(check: Check, roots: Roots) -> None:
    shutil.rmtree(roots["target"] / "masks")
    result = check()
    assert {finding.severity for finding in result.findings} == {"note"}
    assert "target/test has no masks" in result.findings[-1].what


def test_an_empty_training_split_is_said_as_fit_says_it(check: Check, roots: Roots) -> None:
    (roots["source"] / "train.txt").write_text("# nothing\n")
    finding = gravest(check())
    assert finding.severity == "error" and finding.what.endswith("the split source/train is empty.")


def test_an_empty_split_of_the_source_is_a_warning(check: Check, roots: Roots) -> None:
    for root in roots.values():
        (root / "val.txt").unlink()
    result = check()
    assert gravest(result).what == "source/val is empty: it is left out of the scores."
    said = [finding.what for finding in result.findings]
    assert "target/val is empty: it is left out of the scores that need labels." in said


def test_an_image_in_two_lists(check: Check, roots: Roots) -> None:
    with (roots["target"] / "test.txt").open("a") as file:
        file.write("\ntrain_0")
    finding = gravest(check())
    assert finding.severity == "error" and "train.txt and test.txt both list train_0" in finding.what


def test_labels_that_do_not_exist(check: Check) -> None:
    finding = gravest(check(labels=99))
    assert finding.severity == "error" and "data.labels is 99" in finding.what


def test_groups_in_two_splits(check: Check) -> None:
    finding = gravest(check(source={"group": r"\d+$"}))
    assert finding.severity == "warning" and "2 groups in more than one split" in finding.what
    assert list(finding.items) == ["0: train, val, test", "1: train, val, test"]


def test_images_turned_by_their_exif_data(check: Check, roots: Roots) -> None:
    path = roots["source"] / "images" / "train_0.png"
    exif = Image.Exif()
    exif[0x0112] = 3
    image = Image.open(path)
    image.save(path.with_suffix(".jpg"), exif=exif)
    path.unlink()
    finding = gravest(check())
    assert finding.severity == "warning" and "1 image turned by EXIF data" in finding.what
    assert list(finding.items) == ["source/train train_0"]


def test_what_the_strategy_does_not_train_on_is_no_mistake(check: Check, roots: Roots) -> None:
    Image.open(roots["target"] / "images/train_3.png").save(roots["target"] / "images/val_0.png")
    assert check(strategy=SourceOnly(), crop=(8, 8)).findings == []
    assert gravest(check()).severity == "error"


def test_a_source_without_masks_is_no_mistake_where_only_the_target_teaches(check: Check, roots: Roots) -> None:
    (roots["source"] / "masks/train_1.png").unlink()
    assert not check(strategy=FineTune(), labels="all").has_errors
    assert check(labels="all").has_errors


def test_a_class_that_the_teaching_labels_lack(check: Check, roots: Roots) -> None:
    for path in (roots["target"] / "masks").glob("train_*"):
        edit_mask(path, lambda mask: np.putmask(mask, mask == 2, 1))
    finding = gravest(check(strategy=FineTune(), labels="all"))
    assert finding.severity == "warning" and "4 training masks" in finding.what and "car" in finding.what
    assert check(labels="all").findings == []  # the source has it


def test_images_that_no_list_names(check: Check, roots: Roots) -> None:
    (roots["source"] / "test.txt").write_text("test_0")
    (finding,) = check().findings
    assert finding.severity == "note" and "source: 1 of 8 images are in no split and not used" in finding.what


def test_a_group_that_is_in_no_name(check: Check) -> None:
    finding = gravest(check(source={"group": "drive_"}))
    assert finding.severity == "warning" and "group is 'drive_', which finds nothing in the name" in finding.what


def test_a_process_that_dies_leaves_the_rest_of_the_report(check: Check, roots: Roots) -> None:
    class Deadly(FolderDomain):
        def read_image(self, name: str) -> ImageArray:
            if name == "val_1" and multiprocessing.parent_process() is not None:
                time.sleep(0.5)  # what was read before it is on its way, and would be lost with this process
                os.kill(os.getpid(), signal.SIGKILL)
            return super().read_image(name)

    result = check(target=Deadly(str(roots["target"])), options={"workers": 1})
    finding = gravest(result)
    assert finding.severity == "error" and "target image val_1" in finding.what and "--check.workers" in finding.mend
    assert result.survey.of_role("source").read == 8

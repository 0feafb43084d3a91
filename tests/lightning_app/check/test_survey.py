"""The numbers of a check, against NumPy over the same files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules import FolderDomain
from lightning_app.check.result import CheckResult

Roots = dict[str, Path]
Check = Callable[..., CheckResult]


def pictures(root: Path, folder: str, *splits: str) -> list[Any]:
    names = [name for split in splits for name in (root / f"{split}.txt").read_text().split()]
    return [np.array(Image.open(root / folder / f"{name}.png")) for name in names]


def test_means_and_deviations_are_those_of_all_pixels(check: Check, roots: Roots) -> None:
    # Images of two sizes: large ones count for more.
    large = np.random.default_rng(5).integers(200, 256, (40, 30, 3), np.uint8)
    Image.fromarray(large).save(roots["source"] / "images/train_0.png")
    Image.fromarray(np.zeros((40, 30), np.uint8)).save(roots["source"] / "masks/train_0.png")
    summary = check().survey.of_domain("source")
    pixels = (
        np.concatenate([p.reshape(-1, 3) for p in pictures(roots["source"], "images", "train", "val", "test")]) / 255
    )
    np.testing.assert_allclose(summary.means(), pixels.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(summary.deviations(), pixels.std(axis=0), rtol=1e-9)
    assert dict(summary.sizes) == {(12, 16): 7, (40, 30): 1}
    assert summary.brightness.sum() == 8
    assert summary.brightness[int(large.mean() / 255 * 32)] == 1


def test_class_shares_and_label_shift(check: Check, roots: Roots) -> None:
    survey = check().survey
    masks = {
        "source": np.concatenate([m.ravel() for m in pictures(roots["source"], "masks", "train", "val", "test")]),
        # The training masks of the target are not given.
        "target": np.concatenate([m.ravel() for m in pictures(roots["target"], "masks", "val", "test")]),
    }
    shares = {role: np.array([(ids == c).sum() / (ids != 255).sum() for c in range(3)]) for role, ids in masks.items()}
    for role, wanted in shares.items():
        np.testing.assert_allclose(survey.of_role(role).class_shares(3), wanted)
        assert survey.of_role(role).ignored_share() == pytest.approx((masks[role] == 255).mean())
    assert survey.shift(3) == pytest.approx(0.5 * np.abs(shares["source"] - shares["target"]).sum())


def test_shares_are_of_the_run_s_classes(check: Check, roots: Roots) -> None:
    survey = check(source={"label_map": {0: "car", 2: "ignore"}}).survey
    ids = np.concatenate([m.ravel() for m in pictures(roots["source"], "masks", "train", "val", "test")])
    sky, car = (ids == 1).sum(), (ids == 0).sum()
    np.testing.assert_allclose(survey.of_role("source").class_shares(3), [0, sky / (sky + car), car / (sky + car)])


class Opened(FolderDomain):
    """Keeps the names of the masks that were opened."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.opened: set[str] = set()

    def read_mask(self, name: str) -> Any:
        self.opened.add(name)
        return super().read_mask(name)


@pytest.mark.parametrize(
    ("settings", "opened"),
    [
        ({}, 0),
        ({"labels": 2}, 2),
        ({"labels": "all"}, 4),
        ({"options": {"all_masks": True}}, 4),
    ],
)
def test_no_target_training_mask_is_opened_that_was_not_given(
    check: Check, roots: Roots, settings: dict[str, Any], opened: int
) -> None:
    target = Opened(str(roots["target"]))
    result = check(target=target, **settings)
    assert len({name for name in target.opened if name.startswith("train")}) == opened
    assert {name for name in target.opened if not name.startswith("train")} == {"val_0", "val_1", "test_0", "test_1"}
    closed = [sentence.split()[0] for sentence in result.reach if "were not opened" in sentence]
    assert closed == ([f"{4 - opened}"] if opened < 4 else [])


def test_a_sample_says_what_was_not_read(check: Check, roots: Roots) -> None:
    (roots["source"] / "images/train_1.png").write_bytes(b"")
    result = check(options={"sample": 2})
    # The first and the last: the broken one between them is not seen, and missing masks are all the same.
    assert result.findings == []
    assert [summary.read for summary in result.survey.places.values()] == [2] * 6
    assert result.reach[0] == "A sample: 12 of 16 images were read; nothing is known of the other 4."


def test_several_domains_of_a_role_are_told_apart(check: Check, roots: Roots) -> None:
    result = check(source=[str(roots["source"]), str(roots["target"])])
    assert result.survey.domains() == ["source source", "source target", "target"]
    assert result.survey.of_role("source").total == 16 and result.survey.of_domain("source target").total == 8
    # The same files are source and target.
    scored, trained = result.of_severity("warning")
    assert "source target/val target/val_0 = target/val val_0" in scored.items and len(scored.items) == 4
    assert "4 of them in more than one domain" in trained.what

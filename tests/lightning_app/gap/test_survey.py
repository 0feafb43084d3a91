"""Gaps of tiny domains, seen through tiny networks."""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from torch import Tensor

from datamodules import CrossDomainDataModule, FolderDomain
from lightning_app.gap.comparisons import draw_comparisons
from lightning_app.gap.image_looks import colours, low_spectrum
from lightning_app.gap.nearest import RankedImage
from lightning_app.gap.options import GapOptions
from lightning_app.gap.result import GapResult
from lightning_app.gap.survey import Survey
from lightning_app.inference import Windows
from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec
from strategies.components.batch_statistics import batch_norms

CLASSES = ["road", "sky", "car"]


def write(root: Path, images: Mapping[str, NDArray[np.uint8]], split: str = "train", mask: Any = None) -> Path:
    """Writes a domain; a pixel's class is its brightness in thirds, unless a mask is given."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / f"{split}.txt").write_text("\n".join(images))
    for name, image in images.items():
        Image.fromarray(image).save(root / f"images/{name}.png")
        Image.fromarray((image[..., 0] // 86).astype(np.uint8)).save(root / f"masks/{name}.png")
    return root


def noise(count: int, seed: int, size: tuple[int, int] = (32, 48), low: int = 0, high: int = 256) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {
        f"image_{n}": np.repeat(
            np.repeat(generator.integers(low, high, (size[0] // 8, size[1] // 8, 3), np.uint8), 8, 0), 8, 1
        )
        for n in range(count)
    }


class ByBrightness(SegmentationNetwork):
    """A network whose predictions are the brightness in thirds: as good as a network can be trained."""

    def decode(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        brightness = features[0][:, 0, : size[0], : size[1]] * 0.5 + 0.5  # the image, normalised
        return torch.stack([-(brightness * 255 // 86 - one).abs() for one in range(3)], dim=1)


class TakesDarkSkyForRoad(ByBrightness):
    """A network that errs, in the darker half of the sky."""

    def decode(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        logits = super().decode(features, size)
        logits[:, 1] -= 9 * (features[0][:, 0, : size[0], : size[1]] < 0)  # the image, normalised
        return logits


def network(kind: type[SegmentationNetwork] = SegmentationNetwork, architecture: str = "Unet") -> SegmentationNetwork:
    torch.manual_seed(0)
    options = {"encoder_depth": 3, "decoder_channels": [8, 8, 8]} if architecture == "Unet" else {}
    return kind(NetworkSpec(architecture, "tu-test_resnet", CLASSES, 3, options))


def look(
    source: Path,
    target: Path,
    model: SegmentationNetwork,
    is_trained: bool = False,
    windows: Windows | None = None,
    images: int = 500,
    group: str | None = None,
    **settings: Any,
) -> tuple[GapResult, Mapping[str, list[RankedImage]]]:
    sides = [FolderDomain(str(root), **({} if group is None else {"group": group})) for root in (source, target)]
    data = CrossDomainDataModule(sides[0], sides[1], classes=CLASSES, workers=0, **settings)
    survey = Survey(data, GapOptions(images=images), windows, torch.device("cpu"), Console(file=StringIO()))
    return survey.look(model, "the network", is_trained)


@pytest.mark.parametrize("count", [3, 9])
def test_equal_domains_have_ratios_of_1(tmp_path: Path, count: int) -> None:
    images = noise(count - 1, 0) | {"large": next(iter(noise(1, 1, (48, 40)).values()))}
    same = [write(tmp_path / role, images) for role in ("source", "target")]
    result, shown = look(*same, network(ByBrightness), is_trained=True, labels="all")
    assert result.images == (count, count) and result.compared == count // 2
    names = {measure.name for measure in result.measures}
    assert {"colour", "spectrum", "Fréchet", "CORAL", "sliced Wasserstein", "BatchNorm statistics", "labels"} <= names
    assert ({"MMD²", "proxy A-distance"} <= names) == (count > 3) == ("single image" not in "".join(result.missing))
    assert [measure.ratio for measure in result.measures] == pytest.approx([1] * len(result.measures), rel=1e-4)
    assert all(measure.p_value is None or measure.p_value > 0.5 for measure in result.measures)
    assert all(len(ranked) for ranked in shown.values())


def test_another_look_is_a_gap_and_a_copy_of_a_source_image_is_the_nearest(tmp_path: Path) -> None:
    dark, bright = noise(10, 0, high=100), noise(9, 1, low=150)
    source = write(tmp_path / "source", dark)
    target = write(tmp_path / "target", bright | {"copied": dark["image_4"]})
    result, shown = look(source, target, network())
    found = {name: result.find(name) for name in ("colour", "proxy A-distance", "MMD²", "BatchNorm statistics")}
    assert all(measure is not None and (measure.ratio or 0) > 3 for measure in found.values()), found
    distance = result.find("MMD²")
    assert distance is not None and distance.p_value is not None and distance.p_value < 0.05
    assert shown["target images nearest to the source"][0].name == "copied"
    assert shown["target images nearest to the source"][0].picture.startswith("data:image/jpeg;base64,")
    assert "copied" not in {image.name for image in shown["target images farthest from the source"]}
    assert result == look(source, target, network())[0]  # by the seed alone


def test_batch_norm_gap_is_of_what_the_layers_are_given(tmp_path: Path) -> None:
    domains = [noise(4, 0), noise(4, 1, low=120)]
    roots = [write(tmp_path / f"{index}", images) for index, images in enumerate(domains)]
    model = network()
    result, _ = look(roots[0], roots[1], model)
    given: dict[str, list[list[Tensor]]] = {}
    for index, images in enumerate(domains):
        for image in images.values():
            hooks = [
                layer.register_forward_pre_hook(
                    lambda _, inputs, name=name, index=index: given.setdefault(name, [[], []])[index].append(inputs[0])
                )
                for name, layer in batch_norms(model.encoder).items()
            ]
            with torch.no_grad():
                model.features(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
            for hook in hooks:
                hook.remove()
    for name, inputs in given.items():
        samples = [torch.cat(domain).double().movedim(1, 0).flatten(1).numpy() for domain in inputs]
        eps = batch_norms(model.encoder)[name].eps
        means, variances = zip(*((one.mean(axis=1), one.var(axis=1) + eps) for one in samples), strict=True)
        shifted = (variances[0] + (means[0] - means[1]) ** 2) / variances[1]
        wanted = (np.log(variances[1] / variances[0]) + shifted - 1) / 2
        assert result.layers[name] == pytest.approx(wanted.mean(), rel=1e-3, abs=1e-6)
    assert len(given) == len(result.layers) > 5


def test_networks_without_batch_norm_and_heads_without_training_are_named(tmp_path: Path) -> None:
    roots = [write(tmp_path / f"{seed}", noise(4, seed)) for seed in range(2)]
    spec = NetworkSpec("Segformer", "mit_b0", CLASSES, 3, {"decoder_segmentation_channels": 8})
    (roots[1] / "masks/image_0.png").write_bytes(b"no mask")  # which data.labels does not give
    result, _ = look(roots[0], roots[1], SegmentationNetwork(spec))
    told = " ".join(result.missing)
    assert "BatchNorm statistics are left out" in told and "the head of the network is not trained" in told
    assert result.find("labels") is None and result.classes == [] and result.find("Fréchet") is not None
    untrained, _ = look(roots[0], roots[1], network(), is_trained=True)
    assert "hardly more than by guessing" in " ".join(untrained.missing) and untrained.find("labels") is None


def test_labels_and_classes_by_predictions_and_by_masks(tmp_path: Path) -> None:
    source = write(tmp_path / "source", noise(12, 0))
    target = write(tmp_path / "target", noise(12, 1, high=180))
    predicted, _ = look(source, target, network(ByBrightness), is_trained=True)
    given, _ = look(source, target, network(), labels="all")
    shares = [predicted.histograms["target, predicted"], given.histograms["target"]]
    assert shares[0] == pytest.approx(shares[1], abs=0.02)
    of_network, of_masks = predicted.find("labels", "predicted"), given.find("labels", "true")
    corrected = predicted.find("labels", "BBSE")
    assert of_network is not None and of_masks is not None and corrected is not None
    assert of_network.gap == pytest.approx(of_masks.gap, rel=0.1) and of_masks.gap > 0.05
    assert corrected.gap == pytest.approx(of_masks.gap, rel=0.1)  # the network errs in nothing
    by_class = {one.name: one for one in given.classes}
    assert by_class["car"].pixels[1] < 50 and by_class["car"].measure is None
    assert by_class["road"].measure is not None and "target pixels by masks" in given.class_place


def test_what_a_network_mistakes_in_the_source_counts_to_the_floor(tmp_path: Path) -> None:
    roots = [write(tmp_path / f"{seed}", noise(16, seed)) for seed in range(2)]
    result, _ = look(roots[0], roots[1], network(TakesDarkSkyForRoad), is_trained=True)
    predicted, corrected = result.find("labels", "predicted"), result.find("labels", "BBSE")
    assert predicted is not None and predicted.floor > 0.02
    assert predicted.ratio == pytest.approx(1, abs=0.3)
    assert corrected is not None and corrected.gap < predicted.gap / 4  # its mistakes are the same in both


def test_the_class_that_looks_otherwise_is_told(tmp_path: Path) -> None:
    dark_and_bright = [
        {name: np.where(image < 128, 40, 220).astype(np.uint8) for name, image in noise(16, seed, (64, 96)).items()}
        for seed in range(2)
    ]
    for image in dark_and_bright[1].values():
        image[image[..., 0] > 128] = 220, 0, 0  # the sky is red, where it was of any colour
    roots = [write(tmp_path / f"{index}", images) for index, images in enumerate(dark_and_bright)]
    result, _ = look(roots[0], roots[1], network(), labels="all")
    ratios = {one.name: one.measure.ratio for one in result.classes if one.measure is not None}
    assert set(ratios) == {"road", "car"}
    assert (ratios["car"] or 0) > 2 * (ratios["road"] or 0) > 0


def test_only_masks_that_are_given_are_read(tmp_path: Path) -> None:
    source, target = (write(tmp_path / f"{seed}", noise(8, seed)) for seed in range(2))
    given = ["image_2", "image_5", "image_6"]
    (tmp_path / "labels.txt").write_text("\n".join(given))
    for name in set(noise(8, 0)) - set(given):
        (target / f"masks/{name}.png").write_bytes(b"no mask")
    result, _ = look(source, target, network(), labels=str(tmp_path / "labels.txt"))
    pixels = np.concatenate([np.array(Image.open(target / f"masks/{name}.png")).ravel() for name in given])
    assert result.histograms["target"] == pytest.approx(np.bincount(pixels, minlength=3) / len(pixels))


def test_a_window_stands_for_a_large_image_and_images_are_spread(tmp_path: Path) -> None:
    roots = [write(tmp_path / f"{seed}", noise(8, seed, (64, 96))) for seed in range(2)]
    seen: list[tuple[int, ...]] = []
    model = network(ByBrightness)
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    result, _ = look(*roots, model, is_trained=True, windows=Windows(32, scale=0.5), images=4)
    assert result.images == (4, 4) and seen.count((16, 16)) == 8  # beside the look for the stages
    assert result.find("labels", "predicted") is not None


def test_groups_stay_together() -> None:
    groups = ["a"] * 4 + ["b"] * 3 + ["c"] * 5 + ["d"] * 2
    for first, second, target in draw_comparisons(groups, ["e"] * 9, 20, 0):
        assert len(first) == len(second) == len(target) == len(set(target.tolist()))
        halves = [{groups[position] for position in half} for half in (first, second)]
        assert not halves[0] & halves[1]
    for first, second, target in draw_comparisons(["one"] * 7, ["e"] * 2, 3, 0):
        assert (len(first), len(second), len(target)) == (2, 2, 2) and not set(first) & set(second)


def test_all_comparisons_are_of_one_size_and_none_of_a_single_image_by_chance() -> None:
    groups = ["drive"] * 10 + ["b", "c"]  # dealt b, c, drive they would be 1 and 11
    sizes = {tuple(map(len, one)) for one in draw_comparisons(groups, ["e"] * 9, 20, 0)}
    assert sizes == {(2, 2, 2)}
    assert len({len(one.first) for one in draw_comparisons(["a"] * 4 + ["b"] * 3 + ["c"] * 5, ["e"] * 9, 9, 0)}) == 1


def test_a_single_grey_target_image_through_a_network_whose_path_looks_like_markup(tmp_path: Path) -> None:
    roots = [write(tmp_path / f"{seed}", noise(3 - 2 * seed, seed)) for seed in range(2)]
    data = CrossDomainDataModule(str(roots[0]), str(roots[1]), classes=CLASSES, workers=0, channels=1)
    console = Console(file=StringIO(), force_terminal=True)
    survey = Survey(data, GapOptions(), None, torch.device("cpu"), console)
    torch.manual_seed(0)
    options = {"encoder_depth": 3, "decoder_channels": [8, 8, 8]}
    model = SegmentationNetwork(NetworkSpec("Unet", "tu-test_resnet", CLASSES, 1, options))
    with pytest.warns(UserWarning, match="converted to grey"):
        result, shown = survey.look(model, "runs/[/b]/last.ckpt", False)
    assert result.compared == 1 and result.find("colour") is None and result.find("pixel values") is not None
    assert np.isfinite([image.likeness for images in shown.values() for image in images]).all()


def test_a_source_with_few_masks_is_predicted_where_it_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_app.gap.sampling.PREDICTED", 2)
    roots = [write(tmp_path / f"{seed}", noise(6, seed)) for seed in range(2)]
    for name in ("image_0", "image_2", "image_4", "image_5"):
        (roots[0] / f"masks/{name}.png").unlink()
    result, _ = look(roots[0], roots[1], network(ByBrightness), is_trained=True)
    assert result.find("labels", "predicted") is not None
    (roots[0] / "masks/image_3.png").unlink()
    alone, _ = look(roots[0], roots[1], network(ByBrightness), is_trained=True)
    assert alone.find("labels") is None and "in no comparison" in " ".join(alone.missing)
    (roots[0] / "masks/nobody.png").write_bytes(b"no mask")
    with pytest.raises(ValueError, match="masks without an image"):
        look(roots[0], roots[1], network())


def test_there_is_no_p_where_groups_can_be_dealt_in_a_few_ways(tmp_path: Path) -> None:
    roots = [write(tmp_path / f"{seed}", noise(4, seed, low=150 * seed)) for seed in range(2)]
    result, _ = look(roots[0], roots[1], network(), group="(image)")
    distance = result.find("MMD²")
    assert distance is not None and distance.p_value is None and "p is left out" in " ".join(result.missing)
    assert (distance.ratio or 0) > 2


def test_colours_are_lab() -> None:
    rgb = np.random.default_rng(0).random((200, 3)).astype(np.float32)
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    white = linear @ np.array(matrix).T / [0.950456, 1, 1.088754]
    f = np.where(white > 0.008856, np.cbrt(white), 7.787 * white + 16 / 116)
    wanted = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
    assert colours(torch.from_numpy(rgb)).numpy() == pytest.approx(wanted, abs=0.3)
    assert colours(torch.full((1, 4), 0.25)).tolist() == [[25] * 4]


def test_the_spectrum_is_numpys_and_that_of_half_the_light_is_a_half() -> None:
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    log_amplitudes = np.log(np.maximum(np.abs(np.fft.fft2(image)) / 64**2, 1 / (255 * 64)))
    wanted = [log_amplitudes[row, column] for row in (*range(6), *range(-5, 0)) for column in range(6)]
    found = low_spectrum(torch.from_numpy(image)[None, None])
    assert found.numpy() == pytest.approx(wanted, abs=1e-3)
    grey_levels = torch.from_numpy((image * 255).astype(np.uint8)).expand(1, 2, 64, 64)
    assert low_spectrum(grey_levels).tolist() == low_spectrum(grey_levels.float() / 255).tolist()
    large = torch.from_numpy(np.kron(image[::4, ::4], np.ones((16, 16), np.float32)))[None, None]
    assert (low_spectrum(large) - low_spectrum(large / 2)).numpy() == pytest.approx(np.log(2), abs=1e-4)


def test_damaged_weights_give_no_distances(tmp_path: Path) -> None:
    folder, broken = write(tmp_path / "one", noise(3, 0)), network()
    with torch.no_grad():
        next(broken.encoder.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match=r"image image_0: its stage 0 are not all finite"):
        look(folder, folder, broken)

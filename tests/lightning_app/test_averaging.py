"""Networks whose probabilities are averaged: values, windows, what does not go together, the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from refusals import refused
from torch import Tensor, nn
from weights_on_disk import CLASSES, make, save_checkpoint

from datamodules import SyntheticStreets
from lightning_app.averaging import AveragedNetwork
from lightning_app.cli import main
from lightning_app.inference import Windows, predict_mask
from lightning_app.segmenter import Segmenter
from strategies import SourceOnly


class Shift(nn.Module):
    """Three classes by the brightness of the pixel alone, so that windows change nothing."""

    def __init__(self, slope: float, offset: float) -> None:
        super().__init__()
        self.slope, self.offset = slope, offset

    def forward(self, image: Tensor) -> Tensor:
        grey = image.mean(dim=1)
        return torch.stack([self.slope * grey, self.offset * torch.ones_like(grey), -self.slope * grey], dim=1)


def softmax(logits: Tensor) -> NDArray[Any]:
    raw = np.exp(logits.detach().double().numpy())
    return np.asarray(raw / raw.sum(axis=1, keepdims=True))


NETWORKS = [Shift(9, 2), Shift(-4, 1), Shift(1, -3)]
IMAGE = torch.rand(1, 3, 21, 34, generator=torch.Generator().manual_seed(0))
MEAN = np.mean([softmax(network(IMAGE)) for network in NETWORKS], axis=0)


def test_probabilities_are_the_mean_of_the_networks() -> None:
    logits = AveragedNetwork(NETWORKS)(IMAGE)
    assert logits.dtype == torch.float32
    np.testing.assert_allclose(logits.exp().numpy(), MEAN, rtol=1e-5)
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), MEAN, rtol=1e-5)
    # The mean of the logits, which it is not, prefers other classes.
    assert (np.mean([network(IMAGE) for network in NETWORKS], axis=0).argmax(1) != MEAN.argmax(1)).any()


def test_one_network_that_is_sure_leaves_no_infinity() -> None:
    found = AveragedNetwork([Shift(1e5, 0), Shift(1e5, 0)])(IMAGE)
    assert found.isfinite().all() and found.min() < -1e4


def test_half_precision_is_averaged_in_float32() -> None:
    class Half(Shift):
        def forward(self, image: Tensor) -> Tensor:
            return super().forward(image).bfloat16()

    found = AveragedNetwork([Half(9, 2), Half(9, 2)])(IMAGE)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, Half(9, 2)(IMAGE).float().log_softmax(dim=1))


@pytest.mark.parametrize("windows", [None, Windows((16, 16), overlap=0), Windows(16, overlap=0.5, batch_size=3)])
def test_masks_and_probabilities_are_the_means_by_windows_too(windows: Windows | None) -> None:
    array = np.zeros((3, 21, 34), np.float16)
    mask = predict_mask(AveragedNetwork(NETWORKS), IMAGE[0], windows, "cpu", probabilities=array)
    assert np.array_equal(mask, MEAN[0].argmax(0))
    np.testing.assert_allclose(array, MEAN[0], atol=1e-3)


def saved(path: Path, seed: int, labels: int, **settings: Any) -> str:
    """A checkpoint of a small network by chance, as a run with so many target labels would leave it."""
    torch.manual_seed(seed)
    network = make(options={"encoder_depth": 3, "decoder_channels": [8] * 3}, **settings)
    return str(save_checkpoint(network, path, windows=None, labels_used=labels, strategy=None))


def test_a_segmenter_predicts_by_the_mean_of_itself_and_the_others(tmp_path: Path) -> None:
    paths = [saved(tmp_path / "0.ckpt", 0, 2), saved(tmp_path / "1.ckpt", 1, 7, encoder="resnet34")]
    first, second = (Segmenter.load(path).network for path in paths)
    segmenter = Segmenter(CLASSES, init_from=paths[0], averaged_with=paths[1:], options=first.spec.options)
    assert segmenter.labels_used == 7
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    batch = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        probabilities = [softmax(network(batch))[0] for network in (first, second)]
    expected = np.mean(probabilities, axis=0).argmax(0)
    assert all((one.argmax(0) != expected).any() for one in probabilities)
    assert np.array_equal(segmenter.predict(image), expected)


@pytest.mark.parametrize(
    ("classes", "channels", "message"),
    [
        (["road", "sky", "car"], 3, r"it alone has the classes car; it lacks the classes tree"),
        (["sky", "road", "tree"], 3, r"its classes stand in another order: sky, road, tree"),
        ([*CLASSES, "car"], 3, r"it alone has the classes car\. Only"),
        (CLASSES, 1, r"it takes 1 channels, not 3"),
    ],
)
def test_networks_that_answer_otherwise_are_refused(
    classes: list[str], channels: int, message: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "other.ckpt", 0, 0, classes=classes, in_channels=channels)
    with pytest.raises(ValueError, match=rf"averaged_with: .*other\.ckpt cannot be averaged .*: {message}"):
        Segmenter(CLASSES, averaged_with=[path])


def test_an_average_is_neither_trained_nor_saved(make_trainer: Any, make_data: Any, tmp_path: Path) -> None:
    classes = list(SyntheticStreets.classes)
    path = saved(tmp_path / "other.ckpt", 0, 0, classes=classes)
    segmenter = Segmenter(classes, SourceOnly(), averaged_with=[path])
    with pytest.raises(ValueError, match="averaged_with is for evaluation"):
        make_trainer(max_steps=1).fit(segmenter, make_data())
    trainer = make_trainer()
    trainer.validate(segmenter, make_data(), verbose=False)
    with pytest.raises(ValueError, match="holds one network"):
        trainer.save_checkpoint(tmp_path / "average.ckpt")


def test_the_command_line_tests_and_predicts_an_average(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes = list(SyntheticStreets.classes)
    paths = [saved(Path(f"{number}.ckpt"), number, labels, classes=classes) for number, labels in enumerate([3, 0, 5])]
    Path("photos").mkdir()
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(image).save("photos/one.png")
    arguments = ["--ckpt_path", paths[0], "--model.averaged_with", f"[{paths[1]}, {paths[2]}]"]
    wanted = ["--predictions.probabilities", "true", "--predictions.folder", "out"]
    main(["predict", *arguments, "--data.predict", "photos", *wanted])
    batch = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        probabilities = [softmax(Segmenter.load(path).network(batch))[0] for path in paths]
    (found,) = Path("out").rglob("*.npy")
    np.testing.assert_allclose(np.load(found), np.mean(probabilities, axis=0), atol=1e-3)

    main(["test", "--config", str(config), *arguments])
    shown = capsys.readouterr().out
    assert "test: mean of 3 networks' probabilities, 5 target labels used in training" in shown
    assert "test_averaged.csv" in shown and "test.csv" not in shown, "the run's own scores stay"
    missing = refused(capsys, "test", "--ckpt_path", paths[0], "--model.averaged_with", "[3.ckpt]")
    assert "model.averaged_with: 3.ckpt does not exist" in missing

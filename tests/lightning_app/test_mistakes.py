"""What a user's mistakes are answered with."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import refused


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--data.batch_size", "0"], "lightning: data.batch_size is 0; it is at least 1."),
        (["--model.windows.size", "0"], "lightning: windows.size is 0"),
        (["--trainer.accelerator", "gpu", "--trainer.devices", "64"], "lightning: "),
        (["--run", ".."], "is no folder of its own"),
    ],
)
def test_a_wrong_value_is_answered_by_our_sentence_alone(
    args: list[str], message: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(capsys, "fit", "--config", str(config), *args)
    assert message in error and "Subtypes" not in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data:\n  init_args:\n    label_map: {car: ignore, car: road}\n", "line 3: 'car' stands in line 3 already"),
        ("seed_everything: 0\ntrainer: {}\nseed_everything: 1\n", "line 3: 'seed_everything' stands in line 1 already"),
        ("data:\n  init_args:\n    label_map: {*: ignore}\n", "is no YAML"),
    ],
)
def test_a_config_that_says_two_things_or_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    said = refused(capsys, "fit", "--config", str(tmp_path / "wrong.yaml"))
    assert message in said
    assert "*" not in text or "written in quotes" in said


def test_an_error_in_a_worker_is_shown_without_its_traceback(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("images", "masks"):
        Path("own", split).mkdir(parents=True)
    for number in range(8):
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(f"own/images/{number}.png")
        Image.fromarray(np.full((32, 32 + number // 7), number % 2, np.uint8)).save(f"own/masks/{number}.png")
    Path("own/train.txt").write_text("".join(f"{number}\n" for number in range(8)))
    own = Path("own.yaml")
    own.write_text(
        "data:\n  class_path: DomainDataModule\n"
        "  init_args: {domain: own, role: source, classes: [a, b], workers: 1, crop: [32, 32]}\n"
    )
    error = refused(capsys, "fit", "--config", str(config), "--config", str(own), "--checkpoint.monitor", "null")
    assert "mask 7" in error and "33" in error and "Traceback (most" not in error


def test_a_subclass_lists_the_arguments_that_it_hands_on(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("handing_on.py").write_text(
        "from strategies import EntropyMinimization\n\n\nclass Mine(EntropyMinimization):\n"
        "    def __init__(self, mine: int = 1, **kwargs):\n        super().__init__(**kwargs)\n"
    )
    wrong = ["--model.strategy", "handing_on.Mine", "--model.strategy.wieght", "1"]
    error = refused(capsys, "fit", "--config", str(config), *wrong)
    assert "Mine has no argument 'wieght'. Did you mean weight? Its arguments are mine, weight, criterion." in error


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model.strategy", "FinTune"], "Did you mean FineTune?"),
        (
            ["--model.strategy", "EntropyMinimization", "--model.strategy.wieght", "1"],
            "EntropyMinimization has no argument 'wieght'. Did you mean weight? Its arguments are weight, criterion.",
        ),
        (
            ["--model.strategy", "AdversarialAlignment", "--model.strategy.level", "pixel"],
            "AdversarialAlignment.level is 'pixel'; it takes one of features, output, entropy.",
        ),
        (
            ["--model.strategy", "EntropyMinimization", "--model.strategy.weight", "much"],
            "EntropyMinimization.weight is 'much'; it takes float.",
        ),
        (
            [
                "--model.strategy",
                "PartialFreezing",
                "--model.strategy.base",
                "SourceOnly",
                "--model.strategy.base.gama",
                "1",
            ],
            "SourceOnly has no argument 'gama'. Its arguments are criterion.",
        ),
        (
            ["--model.strategy", "PartialFreezing", "--model.strategy.thaw", "{encoder: soon}"],
            "PartialFreezing.thaw is '{'encoder': 'soon'}': its 'soon' must be int.",
        ),
        (
            ["--model.strategy", "PartialFreezing", "--model.strategy.train", "[encoder.7]", "--data.labels", "all"],
            "PartialFreezing.train names 'encoder.7', which is no part",
        ),
        (
            ["--data.strength", "{source: strong, target: week}"],
            "strength is '{'source': 'strong', 'target': 'week'}': its 'week' must be one of weak, strong.",
        ),
        (["--data.scale", "{source: 0.5, target: [1, 1]}"], "its '0.5' must be a list."),
        (["--model.architecture", "Unett"], "Unet"),
        (["--model.encoder", "resnet81"], "resnet18"),
        (["--model.encodr", "resnet18"], "--model.encoder"),
        (["--trainer.max_stesp", "3"], "--trainer.max_steps"),
        (["--predictions.probabilityes", "true"], "--predictions.probabilities"),
        (["--runs", "mine"], "Did you mean run?"),
        (["--model.strategy", "FineTune"], "data.labels is none"),
        (["--checkpoint.monitor", "val/target/mio"], "val/target/miou"),
        (["--model.init_from", "nowhere.ckpt"], "nowhere.ckpt"),
        (["--model.encoder_weights", "nowhere.pth"], "nowhere.pth"),
        (
            [
                "--data",
                "DomainDataModule",
                "--data.role",
                "source",
                "--data.domain",
                "nowhere",
                "--data.classes",
                "[a,b]",
            ],
            "root 'nowhere' does not",
        ),
        (["--ckpt_path", "nowhere.ckpt"], "there is no checkpoint nowhere.ckpt"),
        (["--ckpt_path", "last"], "needs --run"),
        (["--data.init_args.batch_sise", "3"], "batch_size"),
    ],
)
def test_mistakes_get_one_message_with_the_mend(
    args: list[str], message: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(capsys, "fit", "--config", str(config), *args)
    assert message in error
    assert "Traceback" not in error

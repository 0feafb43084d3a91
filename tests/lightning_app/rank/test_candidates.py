"""How candidates are spelled, what they load, and the words to start from them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torchvision.models import get_model
from torchvision.transforms.functional import normalize
from weights_on_disk import LITE0, assert_equal_tensors, encoder_tensors, make, save_checkpoint

from lightning_app.network_spec import NetworkSpec
from lightning_app.rank.candidate import Candidate
from lightning_app.rank.candidates import Setup, parse_candidates
from lightning_app.rank.titles import titles

UNET = {"decoder_channels": [8] * 5}
SPEC = NetworkSpec("Unet", "resnet18", ["nucleus", "background"], 3, UNET)
CPU = torch.device("cpu")


SETUP = Setup(SPEC, encoder_weights=None, init_from=None, seed=4, runs=Path("runs"))


def parsed(text: str, **settings: object) -> Candidate:
    return parse_candidates([text, "null" if text != "null" else "imagenet"], replace(SETUP, **settings))[0]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path


def test_a_checkpoint_brings_its_own_classes_and_head() -> None:
    network = make()
    Path("runs/source/checkpoints").mkdir(parents=True)
    last = save_checkpoint(network, Path("runs/source/checkpoints/last.ckpt"), labels_used=7)
    for text in ("source", "runs/source", "runs/source/checkpoints/last.ckpt", f"{last.resolve()}"):
        candidate = parsed(text)
        assert candidate.checkpoint is not None and candidate.checkpoint.samefile(last)
        assert candidate.options == ["--model.init_from", f"{candidate.checkpoint}"]
    opened = candidate.open(CPU)
    assert opened.labels == 7 and opened.no_head is None and opened.head is not None
    image = torch.rand(1, 3, 40, 50)
    with torch.inference_mode():
        torch.testing.assert_close(opened.head(image, opened.network.features(image)), network(image))


def test_a_checkpoint_of_another_network_says_so_on_the_line() -> None:
    save_checkpoint(make("tu-test_resnet", architecture="FPN"), Path("other.ckpt"))
    candidate = parsed("other.ckpt", encoder_weights="imagenet")
    assert candidate.options == [
        *("--model.init_from", "other.ckpt", "--model.architecture", "FPN", "--model.encoder", "tu-test_resnet"),
        *("--model.encoder_weights", "null", "--model.options", "{}"),
    ]


def test_a_checkpoint_is_adapted_to_the_channels_of_the_target() -> None:
    save_checkpoint(make(), Path("colour.ckpt"))
    opened = parsed("colour.ckpt", spec=replace(SPEC, in_channels=1)).open(CPU)
    assert opened.network.features(torch.rand(1, 1, 32, 32))[-1].shape[1] == 512


def test_encoders_are_loaded_as_the_line_would() -> None:
    network = make()
    torch.save(encoder_tensors(network), "encoder.pth")
    for text in ("encoder.pth", "encoder:resnet18=encoder.pth"):
        opened = parsed(text).open(CPU)
        assert_equal_tensors(encoder_tensors(opened.network), encoder_tensors(network))
        assert opened.head is None and opened.no_head == "a bare encoder knows no classes"
        assert parsed(text).options == ["--model.encoder", "resnet18", "--model.encoder_weights", "encoder.pth"]
    lite0 = parsed(f"encoder:tu-tf_efficientnet_lite0={LITE0}", init_from="some.ckpt")
    assert lite0.options[-4:] == ["--model.encoder_weights", LITE0, "--model.init_from", "null"]
    assert lite0.open(CPU).network.mean.flatten().tolist() == [0.5] * 3
    Path("imagenet/train").mkdir(parents=True)  # a folder of data is no run
    assert parsed("encoder:resnet18").options == parsed("imagenet").options
    assert parsed("imagenet").options[-1] == "imagenet"


def test_chance_is_that_of_the_seed_and_leaves_others_alone() -> None:
    torch.manual_seed(0)
    wanted = torch.rand(1)
    torch.manual_seed(0)
    one, same, other = (parsed("null", seed=seed).open(CPU).network for seed in (4, 4, 5))
    assert torch.equal(torch.rand(1), wanted)
    assert_equal_tensors(encoder_tensors(one), encoder_tensors(same))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


def test_a_model_of_torchvision_gives_its_head_and_its_encoder() -> None:
    model = get_model("fcn_resnet50", weights=None, weights_backbone=None, num_classes=4).eval()
    torch.save(model.state_dict(), "fcn.pth")
    candidate = parsed("fcn_resnet50=fcn.pth")
    assert candidate.options == ["--model.encoder", "resnet50", "--model.encoder_weights", "fcn.pth"]
    opened = candidate.open(CPU)
    backbone = {name.removeprefix("backbone."): one for name, one in model.state_dict().items() if "backbone" in name}
    assert_equal_tensors(encoder_tensors(opened.network), backbone)
    image = torch.rand(1, 3, 32, 32)
    assert opened.head is not None
    with torch.inference_mode():
        seen = normalize(image, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        logits = model.classifier(model.backbone(seen)["out"])
        wanted = functional.interpolate(logits, (32, 32), mode="bilinear", align_corners=False)
        torch.testing.assert_close(opened.head(image, []), wanted)
    with pytest.raises(ValueError, match=r"fcn.pth does not hold torchvision's deeplabv3_resnet50"):
        parsed("deeplabv3_resnet50=fcn.pth").open(CPU)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "runs/sorce",
            r"candidate runs/sorce: there is no such thing; did you mean runs/source or .*\? A candidate is",
        ),
        ("sorce", r"candidate sorce: there is no such thing; did you mean source\?"),
        ("runs/empty", r"candidate runs/empty: runs/empty holds no checkpoints/last.ckpt"),
        ("fcn_resnet5=fcn.pth", r"no segmentation model fcn_resnet5 .*did you mean fcn_resnet50"),
        ("fcn_resnet50", r"there is no file .*fcn_resnet50_coco-\w+.pth .*Name one: fcn_resnet50=/path/to"),
        ("fcn_resnet50=no.pth", r"candidate fcn_resnet50=no.pth: there is no file no.pth"),
        ("broken.pth", r"candidate broken.pth: broken.pth"),
    ],
)
def test_a_mistaken_candidate_is_named(text: str, said: str) -> None:
    for folder in ("runs/source", "runs/empty"):
        Path(folder).mkdir(parents=True)
    Path("broken.pth").write_bytes(bytes(9))
    with pytest.raises(ValueError, match=said):
        parsed(text)


def test_there_are_two_different_ones() -> None:
    with pytest.raises(ValueError, match=r"names 1 network; a ranking compares at least two\. A candidate is"):
        parse_candidates(["null"], SETUP)
    with pytest.raises(ValueError, match="names null twice"):
        parse_candidates(["null", "imagenet", "null"], SETUP)


def test_tables_name_runs_by_what_they_do_not_share() -> None:
    paths = [f"runs/{pair}/SourceOnly/checkpoints/last.ckpt" for pair in ("day", "fluorescence")]
    for path in paths:
        Path(path).parent.mkdir(parents=True)
        Path(path).touch()
    assert titles([*paths, "null", "encoder:resnet18"]) == [
        *("day/SourceOnly", "fluorescence/SourceOnly", "null", "encoder:resnet18")
    ]
    assert titles([paths[0], "null"]) == ["runs/day/SourceOnly", "null"]
    assert titles([f"{Path(paths[0]).resolve()}", "null"]) == ["runs/day/SourceOnly", "null"]
    best = Path(paths[0]).with_name("best.ckpt")
    best.touch()
    assert titles([paths[0], f"{best}"]) == ["last.ckpt", "best.ckpt"]
    assert titles([paths[0], f"{Path(paths[1]).resolve()}"])[0] == "runs/day/SourceOnly"

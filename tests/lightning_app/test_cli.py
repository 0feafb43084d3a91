"""The command line as a user types it."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from refusals import refused

from lightning_app import __version__
from lightning_app.cli import main
from lightning_app.segmenter import Segmenter

ROOT = Path(__file__).parents[2]


def scores(path: Path) -> dict[tuple[str, str], str]:
    with path.open(newline="") as file:
        return {(row["domain"], row["score"]): row["value"] for row in csv.DictReader(file)}


def test_version_help_and_mistakes_import_nothing_heavy() -> None:
    script = (
        "import sys\nfrom lightning_app.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as e: code = e.code\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules, 'heavy import'\nsys.exit(code)"
    )
    for args, code, text in [
        (["--version"], 0, f"segue {__version__}"),
        (["--help"], 0, "lightning fit --config"),
        ([], 0, "usage: lightning"),
        (["fti"], 2, "Did you mean 'fit'?"),
        (["fit", "--config", "configs/base.yml"], 2, "Did you mean configs/base.yaml?"),
    ]:
        done = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == code, done.stderr
        assert text in done.stdout + done.stderr


def test_the_whole_way_of_transfer(config: Path) -> None:
    main(["fit", "--config", str(config), "--run", "source"])
    source = Path("runs/source")
    assert (source / "checkpoints/best.ckpt").exists() and (source / "checkpoints/last.ckpt").exists()
    record = yaml.safe_load((source / "config.yaml").read_text())
    assert record["seed_everything"] == 7
    splits = yaml.safe_load((source / "splits.yaml").read_text())
    assert len(splits["splits"]["source"]["train"]) == 6
    metrics = next((source / "metrics").rglob("metrics.csv")).read_text()
    assert "train/loss/segmentation" in metrics and "val/source/miou" in metrics and "train/lr/encoder" in metrics

    # The same source, adapted with two target labels, looked at in parts of half the size; best by the target.
    adapt = ["--model.strategy", "FineTune", "--data.init_args.labels", "2", "--checkpoint.monitor", "val/target/miou"]
    adapt += ["--model.windows.size", "20", "--model.windows.scale", "0.5"]
    start = ["--model.init_from", str(source / "checkpoints/best.ckpt")]
    main(["fit", "--config", str(config), *adapt, "--run", "tuned", *start])
    splits = yaml.safe_load(Path("runs/tuned/splits.yaml").read_text())
    assert len(splits["labelled_target"]) == 2
    assert torch.load("runs/tuned/checkpoints/last.ckpt", weights_only=True)["segue"]["labels_used"] == 2

    # A checkpoint scores the same under the config it was made with and under another, which has no windows.
    main(["test", "--config", str(config), *adapt, "--ckpt_path", "runs/tuned/checkpoints/last.ckpt"])
    first = scores(Path("runs/tuned/test.csv"))
    main(["test", "--config", str(config), "--ckpt_path", "runs/tuned/checkpoints/last.ckpt"])
    assert scores(Path("runs/tuned/test.csv")) == first
    whole = ["--model.windows.size", "1000"]
    main(["test", "--config", str(config), "--ckpt_path", "runs/tuned/checkpoints/last.ckpt", *whole])
    assert scores(Path("runs/tuned/test.csv")) != first
    assert 0 <= float(first["target", "mIoU"]) <= 1

    # Lightning's own way to load what the command line made.
    loaded = Segmenter.load_from_checkpoint("runs/tuned/checkpoints/last.ckpt", weights_only=True)
    assert loaded.spec.encoder == "resnet18" and type(loaded.strategy).__name__ == "FineTune"

    main(["validate", "--config", str(config), "--ckpt_path", "runs/tuned/checkpoints/best.ckpt"])
    assert ("source", "pixel accuracy") in scores(Path("runs/tuned/validate.csv"))

    # A checkpoint is enough to predict a folder: no config.
    Path("photos").mkdir()
    for name, size in (("a", (40, 30)), ("b", (65, 33))):
        Image.fromarray(np.full((*size[::-1], 3), 90, np.uint8)).save(f"photos/{name}.jpg")
    quiet = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--trainer.logger", "false"]
    where = ["--predictions.folder", "out", "--predictions.probabilities", "true", "--model.windows.size", "32"]
    main(["predict", "--ckpt_path", "runs/tuned/checkpoints/best.ckpt", "--data.predict", "photos", *quiet, *where])
    mask = np.asarray(Image.open("out/masks/b.png"))
    assert mask.shape == (33, 65) and mask.dtype == np.uint8
    probabilities = np.load("out/probabilities/b.npy").astype(np.float32)
    chosen = np.take_along_axis(probabilities, mask[None].astype(np.int64), axis=0)[0]
    assert (chosen >= probabilities.max(axis=0) - 1e-3).all()


def test_resume_of_a_named_run_goes_on_in_its_folder(config: Path) -> None:
    main(["fit", "--config", str(config), "--run", "short", "--trainer.max_steps", "2"])
    main(["fit", "--config", str(config), "--run", "short", "--ckpt_path", "last"])
    assert torch.load("runs/short/checkpoints/last.ckpt", weights_only=True)["global_step"] == 3
    assert len(list(Path("runs/short/metrics").rglob("metrics.csv"))) == 2


def test_terms_and_total_are_logged_in_the_same_step(config: Path) -> None:
    main(["fit", "--config", str(config), "--run", "logged", "--trainer.log_every_n_steps", "2"])
    with next(Path("runs/logged/metrics").rglob("metrics.csv")).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss/total"]]
    assert [row["step"] for row in rows] == ["1"]
    assert rows[0]["train/loss/segmentation"] == rows[0]["train/loss/total"]


def test_a_recorded_config_can_be_run_again_under_another_name(config: Path) -> None:
    main(["fit", "--config", str(config), "--run", "first", "--trainer.max_steps", "1"])
    kept = {path: path.read_bytes() for path in Path("runs/first").rglob("*") if path.is_file()}
    main(["fit", "--config", "runs/first/config.yaml", "--run", "second"])
    assert {path: path.read_bytes() for path in Path("runs/first").rglob("*") if path.is_file()} == kept
    first, second = (torch.load(f"runs/{run}/checkpoints/last.ckpt", weights_only=True) for run in ("first", "second"))
    assert all(torch.equal(first["state_dict"][key], value) for key, value in second["state_dict"].items())


def test_a_resume_keeps_the_record_of_the_beginning(config: Path) -> None:
    main(["fit", "--config", str(config), "--run", "start", "--trainer.max_steps", "1"])
    start = ["--model.init_from", "runs/start/checkpoints/last.ckpt"]
    main(["fit", "--config", str(config), "--run", "r", "--trainer.max_steps", "2", *start])
    Path("runs/start/checkpoints/last.ckpt").unlink()  # a resume needs no other file than its own checkpoint
    main(["fit", "--config", str(config), "--run", "r", "--ckpt_path", "last", *start])
    assert yaml.safe_load(Path("runs/r/config.yaml").read_text())["model"]["init_from"] == start[1]


def test_the_last_checkpoint_is_the_last_step_whatever_the_monitor_says(config: Path) -> None:
    frozen = ["--model.strategy", "PartialFreezing", "--data.labels", "all"]
    still = ["--model.optimizer", "SGD", "--model.optimizer.lr", "0", "--trainer.check_val_every_n_epoch", "null"]

    def steps(run: str, *interval: str) -> dict[str, int]:
        main(["fit", "--config", str(config), "--run", run, *frozen, *still, *interval])
        folder = Path("runs", run, "checkpoints")
        return {path.stem: torch.load(path, weights_only=True)["global_step"] for path in folder.iterdir()}

    # Nothing improves after the first validation.
    assert steps("flat", "--trainer.val_check_interval", "1") == {"best": 1, "last": 3}
    # The last validation is before the last step.
    assert steps("tail", "--trainer.val_check_interval", "2") == {"best": 2, "last": 3}


def test_a_killed_run_goes_on_bitwise(config: Path) -> None:
    """A real kill -9, in the middle of a thaw and a ramp; and the program as ``python -m``."""
    Path("slow.py").write_text(
        "import time\nfrom pathlib import Path\nfrom strategies import AdversarialAlignment, PartialFreezing\n\n\n"
        "class Slow(PartialFreezing):\n"
        "    def __init__(self) -> None:\n"
        "        super().__init__(AdversarialAlignment(level='features'), thaw={'encoder': 3})\n\n"
        "    def after_step(self, network, step):\n"
        "        super().after_step(network, step)\n"
        "        if Path('wait').exists() and step.index == 3:\n"
        "            time.sleep(60)\n"
    )
    sys.modules.pop("slow", None)
    fit = ["fit", "--config", str(config), "--model.strategy", "slow.Slow", "--trainer.max_steps", "6"]
    fit += ["--checkpoint.monitor", "null", "--checkpoint.every_n_train_steps", "1", "--trainer.limit_val_batches", "0"]
    Path("wait").touch()
    # As many threads as here: sums in another order round differently.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "lightning_app", *fit, "--run", "killed"], env=environment)
    best = Path("runs/killed/checkpoints/best.ckpt")
    for _ in range(1200):
        if (best.exists() and torch.load(best, weights_only=True)["global_step"] == 3) or process.poll() is not None:
            break
        time.sleep(0.1)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    Path("wait").unlink()
    main([*fit, "--run", "killed", "--ckpt_path", "best"])
    main([*fit, "--run", "whole"])
    killed, whole = (torch.load(f"runs/{run}/checkpoints/last.ckpt", weights_only=True) for run in ("killed", "whole"))
    assert killed["global_step"] == whole["global_step"] == 6
    assert not [
        name for name, value in whole["state_dict"].items() if not torch.equal(killed["state_dict"][name], value)
    ]


def test_a_mistake_before_the_first_step_leaves_the_name_free(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "fit", "--config", str(config), "--run", "z", "--checkpoint.monitor", "val/target/mio")
    main(["fit", "--config", str(config), "--run", "z", "--trainer.max_steps", "1"])


def test_a_second_run_never_overwrites_the_first(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", "--config", str(config), "--run", "one", "--trainer.max_steps", "1"])
    assert "holds a run already" in refused(capsys, "fit", "--config", str(config), "--run", "one")


def test_several_configs_and_overrides_win_in_order(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = config.parent / "other.yaml"
    other.write_text("trainer: {max_steps: 11}\nmodel: {encoder: resnet34}\n")
    with pytest.raises(SystemExit):
        main(["fit", "--config", str(config), "--config", str(other), "--model.encoder", "resnet50", "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["trainer"]["max_steps"] == 11
    assert printed["model"]["encoder"] == "resnet50"
    assert printed["model"]["architecture"] == "FPN"


def test_a_strategy_in_a_file_of_the_working_directory(config: Path) -> None:
    Path("my_method.py").write_text(
        "from strategies import SourceOnly\n\n\nclass Mine(SourceOnly):\n"
        "    def losses(self, network, batch, step):\n"
        "        for terms in super().losses(network, batch, step):\n"
        "            yield {name: 2 * value for name, value in terms.items()}\n"
    )
    main(["fit", "--config", str(config), "--model.strategy", "my_method.Mine", "--run", "mine"])
    assert torch.load("runs/mine/checkpoints/last.ckpt", weights_only=True)["segue"]["strategy"] == "Mine"


def test_evaluation_without_a_checkpoint_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--ckpt_path" in refused(capsys, "test", "--config", str(config))


def test_a_checkpoint_of_other_classes_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", "--config", str(config), "--run", "one", "--trainer.max_steps", "1"])
    for split in ("images", "masks"):
        Path("own", split).mkdir(parents=True)
    for number in range(4):
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(f"own/images/{number}.png")
        Image.fromarray(np.zeros((32, 32), np.uint8)).save(f"own/masks/{number}.png")
    other = Path("other.yaml")
    other.write_text("data: {class_path: DomainDataModule, init_args: {domain: own, classes: [cat, dog]}}\n")
    error = refused(capsys, "test", "--config", str(other), "--ckpt_path", "runs/one/checkpoints/last.ckpt")
    assert "was trained on the classes road" in error and "cat, dog" in error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere: run the tests as another user")
def test_a_folder_that_cannot_be_written_is_said_before_training(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs").mkdir(mode=0o500)
    assert "cannot be written" in refused(capsys, "fit", "--config", str(config), "--run", "x")


def test_a_file_in_place_of_the_runs_folder_is_said_before_training(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs").write_text("not a folder")
    assert "cannot be written" in refused(capsys, "fit", "--config", str(config), "--run", "x")


CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if path.parent.name != "sweep")  # W&B reads those


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_shipped_config_parses(
    path: Path, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as left:
        main(["fit", "--config", "configs/base.yaml", "--config", str(config), "--config", str(path), "--print_config"])
    assert left.value.code in (0, None), capsys.readouterr().err


def test_ctrl_c_at_a_terminal_reaches_the_workers_too_and_still_saves(config: Path) -> None:
    """In a process group of its own, as a shell would start it."""
    command = [sys.executable, "-m", "lightning_app", "fit", "--config", str(config), "--run", "stopped"]
    long = ["--trainer.max_steps", "100000", "--trainer.limit_val_batches", "0", "--data.workers", "2"]
    monitor = ["--checkpoint.monitor", "null", "--checkpoint.every_n_train_steps", "1"]
    process = subprocess.Popen([*command, *long, *monitor], start_new_session=True, stderr=subprocess.PIPE, text=True)
    checkpoint = Path("runs/stopped/checkpoints/last.ckpt")
    for _ in range(600):
        if checkpoint.with_name("best.ckpt").exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130, shown[-2000:]
    assert "finishing the step and saving" in shown and "Go on with --ckpt_path" in shown
    steps = torch.load(checkpoint, weights_only=True)["global_step"]
    again = ["--trainer.max_steps", str(steps + 1), "--trainer.limit_val_batches", "0", *monitor]
    main(["fit", "--config", str(config), "--run", "stopped", "--ckpt_path", "last", *again])
    assert torch.load(checkpoint, weights_only=True)["global_step"] == steps + 1

"""W&B as a user has it: runs of the command line, and what they left on the disk."""

import contextlib
import csv
import os
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from wandb_file import runs

from lightning_app.cli import main

ROOT = Path(__file__).parents[2]
LOGGER = ["--config", str(ROOT / "configs/logger/wandb.yaml")]
MIXED = ["--model.strategy", "MaskedConsistency", "--model.strategy.init_args.base", "ClassMix"]
MIXED += ["--model.strategy.init_args.block", "8"]
NOT_VALIDATED = ["--trainer.limit_val_batches", "0"]


@pytest.fixture(autouse=True)
def own_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """W&B reads its environment once a process; none of the user's settings or keys count."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb_config"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    wandb.teardown()
    yield
    with contextlib.suppress(OSError):  # where a test has killed what it would end
        wandb.teardown()
    wandb.run = None


def fit(config: Path, run: str, *args: str) -> None:
    main(["fit", "--config", str(config), *LOGGER, "--run", run, *args])


def test_an_offline_run_holds_all_of_it_and_a_resume_goes_on_with_it(
    config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    offline = ["--trainer.logger.init_args.offline", "true"]
    validated = ["--trainer.val_check_interval", "1"]
    fit(config, "mixed", *MIXED, *offline, *validated)
    folder = Path("runs/mixed")
    (first,) = runs(folder)

    assert first.run.project == "segue" and first.run.display_name == "mixed" and first.run.job_type == "fit"
    assert first.run.run_group == "simulator → dusk"
    assert list(first.run.tags) == ["MaskedConsistency", "ClassMix"]
    assert first.exit_code == 0

    recorded = yaml.safe_load((folder / "config.yaml").read_text())
    assert first.config["model.strategy.class_path"] == "strategies.MaskedConsistency"
    threshold = recorded["model"]["strategy"]["init_args"]["base"]["init_args"]["threshold"]
    assert first.config["model.strategy.init_args.base.init_args.threshold"] == threshold
    assert first.config["trainer.max_steps"] == 3 and first.config["seed_everything"] == 7
    assert not {"model", "data", "architecture"} & set(first.config), "one name for a setting, and that of the sweeps"

    # The history is that of the CSV, name by name and value by value.
    with next(folder.glob("metrics/version_0/metrics.csv")).open(newline="") as file:
        written = [(int(row["step"]), key, value) for row in csv.DictReader(file) for key, value in row.items()]
    logged = {(row["trainer/global_step"], key): value for row in first.history for key, value in row.items()}
    for step, key, value in written:
        if value and key != "step":
            assert logged[step, key] == pytest.approx(float(value), rel=1e-6), key
    names = {key for _, key in logged}
    assert {"train/loss/total", "train/lr/encoder", "val/target/miou", "val/source/iou/road"} <= names

    miou = [row["val/target/miou"] for row in first.history if "val/target/miou" in row]
    assert len(miou) == 3
    assert first.summary["val/target/miou"] == {"max": max(miou), "last": miou[-1]}
    assert first.metrics["val/target/miou"].summary.max
    assert first.metrics["*"].step_metric == first.metrics["val/target/miou"].step_metric == "trainer/global_step"
    assert "wandb sync " in capfd.readouterr().err

    fit(config, "mixed", *MIXED, *offline, "--ckpt_path", "last", "--trainer.max_steps", "5")
    before, resumed = runs(folder)
    assert before.history == first.history, "a resume overwrote the first part"
    assert resumed.run.run_id == first.run.run_id
    assert [row["trainer/global_step"] for row in resumed.history if "train/loss/total" in row] == [3, 4]

    # Scores of a checkpoint are a run of their own, and the next resume is not mistaken for it.
    test = ["test", "--config", str(config), *LOGGER, *offline]
    main([*test, "--ckpt_path", "runs/mixed/checkpoints/last.ckpt"])
    tested = next(one for one in runs(folder) if one.run.job_type == "test")
    assert tested.run.run_id != first.run.run_id and "test/target/miou" in tested.summary
    assert tested.config["ckpt_path"] == "runs/mixed/checkpoints/last.ckpt"
    assert (folder / "wandb/run_id").read_text().strip() == first.run.run_id


class Server(BaseHTTPRequestHandler):
    """Answers 500, or not at all."""

    waits = 0.0

    def do_POST(self) -> None:
        time.sleep(self.waits)
        with contextlib.suppress(OSError):
            self.send_error(500)

    do_GET = do_PUT = do_POST

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.mark.parametrize("trouble", ["no key", "no server", "answers 500", "hangs"])
def test_trouble_at_the_start_is_said_once_and_the_run_goes_on_offline(
    trouble: str, config: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    handler = type("Handler", (Server,), {"waits": 60.0 if trouble == "hangs" else 0.0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "1")
    if trouble != "no key":
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    if trouble == "no server":
        server.shutdown()
        server.server_close()
    fit(config, "mine", *NOT_VALIDATED)
    if trouble != "no server":
        server.shutdown()
        server.server_close()

    messages = [str(one.message) for one in recwarn if "W&B" in str(one.message)]
    assert len(messages) == 1 and "logged offline" in messages[0], messages
    assert ("wandb login" in messages[0]) == (trouble == "no key")
    folder = Path("runs/mine")
    (logged,) = runs(folder)
    assert len([row for row in logged.history if "train/loss/total" in row]) == 3 and logged.exit_code == 0
    assert (folder / "checkpoints/last.ckpt").exists()
    assert "train/loss/total" in (folder / "metrics/version_0/metrics.csv").read_text()


def test_a_service_that_dies_ends_no_training(config: Path, recwarn: pytest.WarningsRecorder) -> None:
    """A method of the user's own kills the process that W&B writes with."""
    Path("killing.py").write_text(
        "import os, signal, subprocess\n"
        "from strategies import SourceOnly\n"
        "class Killing(SourceOnly):\n"
        "    def losses(self, network, batch, step):\n"
        "        if step.index == 1:\n"
        "            found = subprocess.run(['ps', '-o', 'pid=,comm=', '--ppid', str(os.getpid())],\n"
        "                                   capture_output=True, text=True).stdout.split()\n"
        "            for pid, name in zip(found[::2], found[1::2]):\n"
        "                if name.startswith('wandb-core'):\n"
        "                    os.kill(int(pid), signal.SIGKILL)\n"
        "        yield from super().losses(network, batch, step)\n"
    )
    offline = ["--trainer.logger.init_args.offline", "true"]
    fit(config, "killed", "--model.strategy", "killing.Killing", *offline, *NOT_VALIDATED)
    messages = [str(one.message) for one in recwarn if "W&B" in str(one.message)]
    assert len(messages) == 1 and "W&B failed" in messages[0], messages
    folder = Path("runs/killed")
    with (folder / "metrics/version_0/metrics.csv").open(newline="") as file:
        assert len([row for row in csv.DictReader(file) if row["train/loss/total"]]) == 3
    assert (folder / "checkpoints/last.ckpt").exists()


def test_a_sweep_names_its_runs_and_the_environment_wins(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SWEEP_ID": "sweep", "RUN_ID": "trial", "MODE": "offline", "RUN_GROUP": "mine"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    Path("parameters.yaml").write_text("wandb_version: 1\ntrainer.max_steps: {value: 3}\n")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(Path("parameters.yaml").resolve()))
    fit(config, "trial", "--trainer.max_steps=3", *NOT_VALIDATED)
    (logged,) = runs(Path("runs/trial"))
    assert (logged.run.run_id, logged.run.sweep_id, logged.run.run_group) == ("trial", "sweep", "mine")
    assert logged.config["trainer.max_steps"] == 3 and logged.config["trainer.accelerator"] == "cpu"


def test_without_the_package_the_extra_is_named(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SystemExit) as left:
        fit(config, "none")
    assert left.value.code == 1 and "pip install segue[wandb]" in capsys.readouterr().err
    assert not Path("runs/none/config.yaml").exists()

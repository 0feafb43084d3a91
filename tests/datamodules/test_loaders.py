import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import time
import traceback
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from tiny import TRAINER
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.draw_orders import PermutationChain
from datamodules.loaders import DrawLoader, Hands, WatchedLoader, take_in_hand
from datamodules.samplers import DrawSampler

pytestmark = pytest.mark.alone

NAME = "aachen/strasse mit ß_{}"


class Images(Dataset[Tensor]):
    """Batches for BoringModel; the process that reads a deadly image is killed at once."""

    def __init__(self, role: str = "source", deadly: int | None = None, number: int = signal.SIGKILL) -> None:
        self.role = role
        self.deadly = deadly
        self.number = number

    def __len__(self) -> int:
        return 12

    def __getitem__(self, item: int | tuple[int, int]) -> Tensor:
        index = item if isinstance(item, int) else item[0]
        take_in_hand(f"{self.role} image {NAME.format(index)}")
        if index == self.deadly:
            os.kill(os.getpid(), self.number)
        return torch.full((32,), float(index))


def _draws(images: Images, **options: Any) -> DrawLoader:
    order = PermutationChain(len(images), seed=0, stream="source")
    sampler = DrawSampler(images, order, batch_size=2, steps_per_epoch=6, consumed_batches=lambda: 0)
    return DrawLoader(images, sampler=sampler, batch_size=2, **options)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Any:
    yield
    # Under Python 3.12 a temporary file that torch opens on the way to its error holds the frames until a collection.
    gc.collect()
    for _ in range(100):  # torch 2.11 and older do not wait for the end of a worker
        if not multiprocessing.active_children():
            return
        time.sleep(0.1)
    raise AssertionError(multiprocessing.active_children())


@pytest.mark.parametrize("persistent", [False, True])
def test_a_killed_worker_names_its_image(persistent: bool) -> None:
    loader = WatchedLoader(Images(deadly=5), num_workers=2, persistent_workers=persistent)
    with pytest.raises(ChildProcessError) as caught:
        list(loader)
    message = str(caught.value)
    assert f"Killed; the last image it took in hand was source image {NAME.format(5)}." in message
    assert "Too little memory is the usual reason: set data.workers" in message
    del caught  # it holds the iterator


def test_another_end_has_another_mend() -> None:
    loader = WatchedLoader(Images(deadly=5, number=signal.SIGSEGV), num_workers=1)
    with pytest.raises(ChildProcessError, match=r"source image .*_5\. data\.workers: 0 reads in the main process"):
        list(loader)


def test_a_killed_worker_is_told_from_the_others_of_its_loader_and_of_other_loaders() -> None:
    loader = CombinedLoader(
        {
            "source": WatchedLoader(Images(), num_workers=2, batch_size=2),
            "target": WatchedLoader(Images("target", deadly=7), num_workers=2, batch_size=2),
        }
    )
    with pytest.raises(ChildProcessError, match=f"in hand was target image {NAME.format(7)}\\. "):
        list(loader)


class DiesDuringTheStep(Images):
    """Its process is killed once the step has begun."""

    def __init__(self, begun: Path, deadly: int) -> None:
        super().__init__(deadly=deadly)
        self.begun = begun

    def __getitem__(self, item: int | tuple[int, int]) -> Tensor:
        while item == self.deadly and not self.begun.exists():
            time.sleep(0.01)
        return super().__getitem__(item)


class Waits(BoringModel):  # type: ignore[misc]  # Lightning's has no types
    """Is busy in its first step until something interrupts it."""

    interrupted = False

    def __init__(self, begun: Path) -> None:
        super().__init__()
        self.begun = begun

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.begun.touch()
        try:
            time.sleep(10)
        except ChildProcessError:
            self.interrupted = True
            raise
        return self.layer(batch).sum()


def test_a_worker_killed_during_a_training_step_names_its_image(tmp_path: Path) -> None:
    model = Waits(tmp_path / "begun")
    loader = WatchedLoader(DiesDuringTheStep(model.begun, 1), num_workers=1, persistent_workers=True)
    with pytest.raises(ChildProcessError, match=f"in hand was source image {NAME.format(1)}\\. "):
        Trainer(**TRAINER, default_root_dir=tmp_path, max_epochs=1, limit_val_batches=0).fit(model, loader)
    assert model.interrupted


def test_a_worker_killed_without_a_signal_handler_names_its_image() -> None:
    # As in the second fit of a process: Lightning has put back the handler from before the first one.
    before = signal.getsignal(signal.SIGCHLD)
    loader = WatchedLoader(Images(deadly=3), num_workers=1, timeout=1)
    batches = iter(loader)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        with pytest.raises(ChildProcessError, match=f"in hand was source image {NAME.format(3)}\\. "):
            list(batches)
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("persistent", [False, True])
def test_fits_and_scores_end_with_their_workers(persistent: bool, tmp_path: Path) -> None:
    options: dict[str, Any] = {"num_workers": 2, "persistent_workers": persistent}
    settings = {**TRAINER, "num_sanity_val_steps": 1, "default_root_dir": tmp_path}
    model = BoringModel()
    train, score = _draws(Images(), **options), WatchedLoader(Images(), **options)
    Trainer(**settings, max_epochs=2).fit(model, CombinedLoader({"source": train}).flattened[0], score)
    assert multiprocessing.active_children() == []
    trainer = Trainer(**settings, max_steps=3)
    trainer.fit(model, train, score)
    assert trainer.global_step == 3
    assert multiprocessing.active_children() == []
    batches = trainer.predict(model, WatchedLoader(Images(), **options))
    assert batches is not None and len(batches) == 12


def test_an_iterator_that_is_left_early_ends_its_workers() -> None:
    for batch in WatchedLoader(Images(), num_workers=2):
        assert batch.shape == (1, 32)
        break
    assert multiprocessing.active_children() == []


def test_only_the_main_process_ends_workers_by_sigterm() -> None:
    batches = iter(WatchedLoader(Images(), num_workers=2))
    first = [next(batches), next(batches)]  # both workers are there
    workers = multiprocessing.active_children()
    subprocess.run(["kill", "-TERM", *(str(worker.pid) for worker in workers)], check=True)
    assert len([*first, *batches]) == 12

    batches = iter(WatchedLoader(Images(), num_workers=2))
    first = [next(batches), next(batches)]
    for worker in multiprocessing.active_children():
        worker.terminate()
        worker.join(5)
        assert worker.exitcode == 0  # any other would make torch raise an error in a process that leaves


def test_batches_are_those_of_a_plain_loader_and_errors_are_their_own() -> None:
    for workers in (0, 2):
        loader = WatchedLoader(Images(), num_workers=workers, batch_size=5)
        assert len(loader) == 3
        assert [batch[:, 0].tolist() for batch in loader] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]

    class Broken(Images):
        def __getitem__(self, item: Any) -> Tensor:
            raise RuntimeError("the reader broke")

    for workers in (0, 1):
        with pytest.raises(RuntimeError, match="the reader broke") as caught:
            list(WatchedLoader(Broken(), num_workers=workers))
        traceback.clear_frames(caught.tb)  # torch's error holds itself, and so the iterator


def test_hands_reach_workers_that_are_spawned() -> None:
    hands = Hands(2)
    reader, writer = multiprocessing.Pipe()
    writer.send_bytes(ForkingPickler.dumps(hands))
    copy = pickle.loads(reader.recv_bytes())
    copy._slots()["process"] = [1, 2]
    copy._slots()["image"] = [b"one", b"two"]
    assert Hands.of([2]) == ["two"]

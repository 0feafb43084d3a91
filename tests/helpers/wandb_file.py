"""What W&B wrote to the disk, read back."""

import json
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768


@dataclass
class WandbFile:
    """A ``.wandb`` file: LevelDB's log, 7 bytes of header, then records of W&B's protocol.

    Attributes:
        run: the record of the run: id, project, group, tags, job type.
        config: the last value of each key.
        history: one dict a logged row.
        summary: the last values; nested keys are tuples.
        metrics: the metrics as they were defined, by name or pattern.
        files: the paths of files that go with the run.
    """

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    exit_code: int | None = None

    @classmethod
    def read(cls, path: Path) -> "WandbFile":
        found = cls()
        for record in _records(path.read_bytes()):
            found._take(record)
        return found

    def _take(self, record: Any) -> None:
        kind = record.WhichOneof("record_type")
        if kind == "run":
            self.run = record.run
            self._update(self.config, record.run.config.update)
        elif kind == "config":
            self._update(self.config, record.config.update)
        elif kind == "history":
            row: dict[str, Any] = {}
            self._update(row, record.history.item)
            self.history.append(row)
        elif kind == "summary":
            self._update(self.summary, record.summary.update)
        elif kind == "metric":
            self.metrics[record.metric.name or record.metric.glob_name] = record.metric
        elif kind == "files":
            self.files += [file.path for file in record.files.files]
        elif kind == "exit":
            self.exit_code = record.exit.exit_code

    @staticmethod
    def _update(values: dict[str, Any], items: Any) -> None:
        for item in items:
            values[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)


def runs(folder: Path) -> list[WandbFile]:
    """The runs whose files lie in a run's folder, the oldest first.

    W&B's process may write the last of a run a moment after the run has ended here.
    """
    deadline = time.monotonic() + 5
    while True:
        found = [WandbFile.read(path) for path in sorted(folder.glob("wandb/*run-*/run-*.wandb"))]
        if all(run.exit_code is not None for run in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def _records(content: bytes) -> list[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    assert content[:4] == b":W&B", content[:8]
    found, pending, place = [], b"", 7
    while place + 7 <= len(content):
        left = BLOCK - place % BLOCK
        if left < 7:  # the end of a block holds no header
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        if kind == 0 or place + 7 + length > len(content):  # the rest is still to be written
            break
        pending += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(pending)
            found.append(record)
            pending = b""
    return found

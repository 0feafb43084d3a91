"""Reads the files of a run in parallel, with a progress bar."""

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from datamodules import CrossDomainDataModule
from datamodules.loaders import WatchedLoader, cores
from lightning_app.check.image_record import ImageRecord
from lightning_app.check.record_reader import RecordReader
from lightning_app.check.survey import Survey

_AT_ONCE = 8


def read_all(data: CrossDomainDataModule, survey: Survey, workers: int | None, console: Console) -> None:
    """Reads images and masks and sums up what they are like.

    Args:
        data: the data of the run.
        survey: what is read of it, and where it is summed up.
        workers: processes that read; None takes as many as there are cores.
        console: where the progress is shown.

    Raises:
        ChildProcessError: if a process dies, naming the image.
    """
    reader = RecordReader(data, survey.portions)
    if workers is None:
        workers = min(cores(), len(reader) // _AT_ONCE)
    loader = WatchedLoader(reader, batch_size=_AT_ONCE, num_workers=workers, collate_fn=_as_it_is)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading images and masks", total=len(reader))
        for records in loader if len(reader) else ():
            for record in records:
                survey.add(record)
            progress.advance(task, len(records))


def _as_it_is(records: list[ImageRecord]) -> list[ImageRecord]:
    return records

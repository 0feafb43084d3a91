"""``lightning rank``: which network transfers best to the target, told from a few labels without training."""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import yaml
from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser
from rich.console import Console
from rich.status import Status
from rich.text import Text

from datamodules import CrossDomainDataModule
from datamodules.batch import DomainBatch
from lightning_app.command_line import RUNS, named_run, run
from lightning_app.compare.run import dotted
from lightning_app.network_spec import NetworkSpec
from lightning_app.pixel_reservoir import PixelReservoir
from lightning_app.rank.candidate import Candidate, OpenedCandidate
from lightning_app.rank.candidates import Setup, parse_candidates
from lightning_app.rank.labelled_pixels import labelled_pixels
from lightning_app.rank.rank_trainer import RankTrainer
from lightning_app.rank.ranking import Entry, Ranking
from lightning_app.rank.report import Report
from lightning_app.rank.results import read_results
from lightning_app.rank.scores import score
from lightning_app.rank.titles import titles
from lightning_app.report_command_line import ReportCommandLine, make_room
from lightning_app.segmenter import Segmenter
from lightning_app.writing import as_text, printable


class RankCommandLine(ReportCommandLine):
    """The command line of ``fit`` with ``--candidates``."""

    command_name = "rank"
    trainer_type = RankTrainer

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of the ranking to those of ``fit``."""
        super().add_arguments_to_parser(parser)
        parser.add_argument(
            "--candidates",
            nargs="+",
            type=str | None,
            default=[],
            help="What training could start from, at least two: folders of runs or checkpoints, "
            "encoder:<name>=<weights>, files of encoder weights, or other weights of the config's encoder "
            "(imagenet, torchvision:…, package:…, null for chance), deeplabv3_resnet50=<file> and the like.",
        )
        parser.add_argument(
            "--runs",
            nargs="+",
            type=str,
            default=[],
            help="Runs, or folders of runs, that began with candidates: the scores are held against what they reached.",
        )
        parser.add_argument(
            "--pixels", type=int, default=10_000, help="Labelled pixels that are drawn, as many of each class."
        )
        parser.add_argument(
            "--report",
            type=str | None,
            default=None,
            help="The JSON file, beside which a CSV is written. Default: rank.json in the folder of --run, or in runs.",
        )

    def before_instantiate_classes(self) -> None:
        """Takes what belongs to a training out: the candidates bring the weights."""
        settings = self.settings
        if settings.pixels < 2:
            raise ValueError(f"--pixels is {settings.pixels}; it is at least 2, such as 10000.")
        if settings.report is not None and Path(settings.report).suffix.lower() == ".csv":
            raise ValueError(f"--report is {settings.report}; it is the JSON file, beside which the CSV is written.")
        self.recorded = self._parser(self.subcommand).dump(settings, skip_none=False)
        self.given = (settings.model.encoder_weights, settings.model.init_from)
        settings.model.encoder_weights = settings.model.init_from = settings.model.strategy = None
        super().before_instantiate_classes()

    def rank(self, model: Segmenter, datamodule: LightningDataModule, **_: object) -> None:
        """Ranks the candidates and reports.

        Raises:
            SystemExit: with 130 after Ctrl-C.
            ValueError: if there are no labels to rank by, or a candidate cannot be read.
        """
        data = self.domains(datamodule)
        console, settings = Console(), self.settings
        report = self.report_path(settings.report, ".json")
        spelled = ["null" if one is None else one for one in settings.candidates]  # as YAML reads it
        candidates = parse_candidates(spelled, self._setup(model.spec))
        if not len(data.labelled_names):
            raise ValueError(
                f"rank reads a few labelled target images, but data.labels is {data.labels}. Give some for "
                "training, such as --data.labels 5."
            )
        results = None
        if settings.runs:
            config = dotted(yaml.safe_load(self.recorded))
            results = read_results([named_run(place) for place in settings.runs], candidates, config)
        for candidate in candidates:  # not after minutes of work on the others
            self._open(candidate, torch.device("cpu"))
        make_room([report, report.with_suffix(".csv")], "--report")
        try:
            entries, pixels = self._score(candidates, model, data, console)
        except KeyboardInterrupt:
            console.print("stopped; there is no report.")
            raise SystemExit(130) from None
        found = Report(
            Ranking(entries, results.miou if results else None),
            list(data.labelled_names),
            pixels,
            results,
            self.typed,
        )
        found.write(report)
        found.print(console)
        console.print(as_text(f"\nReport: {report}"), soft_wrap=True)

    def _setup(self, spec: NetworkSpec) -> Setup:
        weights, init_from = self.given
        return Setup(spec, weights, init_from, int(self.settings.seed_everything), RUNS)

    def _score(
        self, candidates: Sequence[Candidate], model: Segmenter, data: CrossDomainDataModule, console: Console
    ) -> tuple[list[Entry], dict[str, int]]:
        device, seed = self.trainer.strategy.root_device, int(self.settings.seed_everything)
        capacity = math.ceil(self.settings.pixels / len(data.classes))
        entries: list[Entry] = []
        pixels: dict[str, int] = {}
        for place, (candidate, title) in enumerate(
            zip(candidates, titles([one.name for one in candidates]), strict=True)
        ):
            begun, name = time.perf_counter(), printable(title)
            with console.status(Text(name)) as status:
                opened = self._open(candidate, device)
                images = _shown(data, status, f"{place + 1}/{len(candidates)} {name}")
                sample = labelled_pixels(opened, images, len(data.classes), capacity, model.windows, seed)
                pixels = _pixels(sample, data.classes)
                if not sample["features"].isfinite().all():
                    raise ValueError(
                        f"candidate {candidate.name}: its features are not all finite; its weights are damaged."
                    )
                scores = score(sample, opened.no_head)
            entries.append(Entry(candidate.name, candidate.options, scores, title, opened.labels))
            seconds = time.perf_counter() - begun
            console.print(Text(f"{place + 1}/{len(candidates)} {name}: {seconds:.1f} s"), soft_wrap=True)
        return entries, pixels

    @staticmethod
    def _open(candidate: Candidate, device: torch.device) -> OpenedCandidate:
        try:
            return candidate.open(device)
        except (ValueError, OSError) as error:
            raise ValueError(f"candidate {candidate.name}: {error}") from error


def main(args: Sequence[str]) -> None:
    """Ranks candidates.

    Args:
        args: ``rank``, and the options of ``lightning fit``, ``--candidates``, ``--runs``, ``--pixels``, ``--report``.

    Raises:
        SystemExit: with 1 if they cannot be ranked, with 2 after a mistake in the arguments.
    """
    run(args, RankCommandLine)


def _shown(data: CrossDomainDataModule, status: Status, what: str) -> Iterator[DomainBatch]:
    """Yields the labelled images, and says which of them it is."""
    for place, batch in enumerate(data.labelled_images()):
        status.update(Text(f"{what}: image {place + 1} of {len(data.labelled_names)}"))
        yield batch


def _pixels(sample: PixelReservoir, classes: Sequence[str]) -> dict[str, int]:
    """Counts the pixels of the sample by class.

    Raises:
        ValueError: if fewer than two classes occur.
    """
    counts = torch.bincount(sample.labels, minlength=len(classes)).tolist()
    pixels = dict(zip(classes, counts, strict=True))
    present = [name for name, count in pixels.items() if count]
    if len(present) < 2:
        raise ValueError(
            f"the labelled target images hold {present[0] if present else 'no class'} alone; scores tell classes "
            "apart: give images of at least two by data.labels."
        )
    return pixels

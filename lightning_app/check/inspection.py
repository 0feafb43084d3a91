"""All of a check that needs the data alone."""

from typing import get_args

from rich.console import Console

from datamodules import CrossDomainDataModule
from datamodules.batch import StreamName
from lightning_app.check.file_findings import file_findings
from lightning_app.check.finding import Finding
from lightning_app.check.label_findings import label_findings
from lightning_app.check.options import CheckOptions
from lightning_app.check.portion import choose_portions
from lightning_app.check.reading import read_all
from lightning_app.check.result import CheckResult
from lightning_app.check.sample_pictures import crop_pictures, whole_pictures
from lightning_app.check.split_findings import given_names, split_findings
from lightning_app.check.survey import Survey
from lightning_app.pictures import class_colors
from strategies import Strategy


def inspect_data(
    data: CrossDomainDataModule, strategy: Strategy | None, options: CheckOptions, console: Console
) -> CheckResult:
    """Looks at the splits, reads the files, looks for mistakes and takes pictures.

    Args:
        data: the data of the run.
        strategy: how the run learns, which decides what it needs.
        options: what is read.
        console: where the progress is shown.
    """
    declared = get_args(StreamName) if strategy is None else (*strategy.required_streams, *strategy.optional_streams)
    findings = split_findings(data, strategy, declared)
    portions = choose_portions(data, options.sample, options.all_masks, given_names(data))
    survey = Survey(portions)
    try:
        read_all(data, survey, options.workers, console)
    except ChildProcessError as error:
        mend = "The rest is of what was read until then. These processes are --check.workers; 0 reads in this one."
        findings.append(Finding("error", f"{error}", mend))
    labelled = [stream for stream in declared if stream != "labelled_target" or not options.all_masks]
    result = CheckResult(
        data,
        survey,
        [*findings, *file_findings(data, survey, declared), *label_findings(data, survey, labelled)],
    )
    colors = class_colors(data.classes)
    result.images = whole_pictures(data, portions, colors)
    if strategy is not None and not any(finding.severity == "error" for finding in findings):
        streams = data.streams(strategy.required_streams, strategy.optional_streams, strategy.name)
        result.crops = crop_pictures(data, streams, colors)
    return result

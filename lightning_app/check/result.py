"""The outcome of a check."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from datamodules import CrossDomainDataModule
from lightning_app.check.estimate import Estimate
from lightning_app.check.finding import Finding, Severity
from lightning_app.check.sample_pictures import Picture
from lightning_app.check.survey import Survey


@dataclass
class CheckResult:
    """What a check has found.

    Attributes:
        data: the data of the run.
        survey: what the files are like.
        findings: what a user should know.
        estimate: what the run will take; None if that was not tried.
        no_estimate: why there is no estimate.
        crops: samples of each stream as training sees them.
        images: whole images of each domain.
    """

    data: CrossDomainDataModule
    survey: Survey
    findings: list[Finding]
    estimate: Estimate | None = None
    no_estimate: str = ""
    crops: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    images: Mapping[str, Sequence[Picture]] = field(default_factory=dict)

    def of_severity(self, severity: Severity) -> list[Finding]:
        """Returns the findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    @property
    def has_errors(self) -> bool:
        """Whether something must be mended before the run."""
        return bool(self.of_severity("error"))

    @property
    def verdict(self) -> str:
        """The result in a line."""
        severities: tuple[Severity, ...] = ("error", "warning", "note")
        counts = {severity: len(self.of_severity(severity)) for severity in severities}
        listed = [f"{count} {severity}{'s' * (count > 1)}" for severity, count in counts.items() if count]
        if not self.has_errors:
            listed.insert(0, "nothing must be mended")
        return ", ".join(listed)

    @property
    def reach(self) -> list[str]:
        """What was not read, in sentences."""
        sentences = []
        places = self.survey.places.values()
        total, read = sum(place.total for place in places), sum(place.read for place in places)
        if read < total:
            sentences.append(
                f"A sample: {read:,} of {total:,} images were read; nothing is known of the other {total - read:,}."
            )
        closed = sum(place.closed for place in places)
        if closed:
            sentences.append(
                f"{closed:,} masks of target/train were not opened, because data.labels does not give them; "
                "--check.all_masks true reads them too."
            )
        return sentences

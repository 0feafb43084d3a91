"""What is wrong with splits and masks before any file is read."""

from collections.abc import Collection, Iterator

from datamodules import CrossDomainDataModule
from datamodules.batch import StreamName
from datamodules.domain import Domain
from datamodules.file_domain import FileDomain
from datamodules.names import Names
from datamodules.side import Side
from datamodules.splits import SPLITS
from lightning_app.check.finding import Finding, Severity
from lightning_app.check.portion import Place, splits_can_be_made
from lightning_app.check.wording import counted
from strategies import Strategy


def given_names(data: CrossDomainDataModule) -> Names:
    """Returns the target training images whose labels are given for training; none if they cannot be chosen."""
    try:
        return data.labelled_names
    except (ValueError, OSError):
        return Names()


def split_findings(
    data: CrossDomainDataModule, strategy: Strategy | None, streams: Collection[StreamName]
) -> list[Finding]:
    """Looks for empty splits, missing and orphaned masks, and groups that are in two splits.

    Args:
        data: the data of the run.
        strategy: how the run learns, which decides what it needs.
        streams: the streams that it takes.
    """
    findings: list[Finding] = []
    for side in data.sides.values():
        try:
            _ = side.splits  # made at the first access
        except (ValueError, OSError) as error:
            findings.append(Finding("error", f"{error}"))
            continue
        findings += _mask_findings(side, data, streams)
        findings += _in_no_split(side)
        findings += _groups_in_two_splits(side)
    if not any(finding.severity == "error" for finding in findings):
        try:
            _ = data.labelled_names  # chosen at the first access, whatever the strategy takes
            if strategy is not None:
                data.streams(strategy.required_streams, strategy.optional_streams, strategy.name)
        except (ValueError, OSError) as error:
            findings.append(Finding("error", f"{error}"))
    return findings


def _mask_findings(side: Side, data: CrossDomainDataModule, streams: Collection[StreamName]) -> Iterator[Finding]:
    for domain in side.parts.values():
        try:
            domain.check_masks()
        except ValueError as error:
            mend = "Remove them, or add the images. A wrong images or masks setting of the domain looks like this too."
            yield Finding("error", f"{side.role}: {error}", mend)
    for split in SPLITS:
        parts = side.by_part(side.splits[split])
        if not parts and split != "train":
            # Without those some of the training images are validated for the scores that need no labels.
            some = " that need labels" if (side.role, split) == ("target", "val") else ""
            yield Finding(
                "note" if side.role == "target" else "warning",
                f"{side.role}/{split} is empty: it is left out of the scores{some}.",
                "Say what is in the splits by lists or by folders, or give shares a share for it.",
            )
        for part, names in parts.items():
            place = Place(side.role, part, split)
            missing = side.domain.without_mask(names)
            if missing and (split != "train" or (side.role == "source" and "source" in streams)):
                yield _missing_masks(place, missing, len(names), data)


def _in_no_split(side: Side) -> Iterator[Finding]:
    for part, domain in side.parts.items():
        if isinstance(domain, FileDomain):
            left = len(domain.images) - sum(len(domain.names(split)) for split in SPLITS)
            if left:
                of = Place(side.role, part, "train").domain
                yield Finding("note", f"{of}: {left:,} of {len(domain.images):,} images are in no split and not used.")


def _missing_masks(place: Place, missing: list[str], total: int, data: CrossDomainDataModule) -> Finding:
    if place.split == "train":
        what = f"{len(missing)} of {total} images of {place} have no mask, and the source is trained with its masks."
        target = data.sides.get("target")
        swapped = (
            len(missing) == total
            and target is not None
            and splits_can_be_made(target)
            and target.has_labels(target.splits["train"])
        )
        mend = (
            "The target's images have masks: are source and target swapped? Exchange data.init_args.source and target."
            if swapped
            else "Add the masks, take the images out of the split, or correct masks of the domain."
        )
        return Finding("error", what, mend, missing)
    if len(missing) < total:
        what = f"{len(missing)} of {total} images of {place} have no mask, and a split is scored with all its masks."
        return Finding("error", what, f"Add the masks, or take the images out of {place.split}.", missing)
    usual: Severity = "note" if place.role == "target" else "warning"
    return Finding(usual, f"{place} has no masks: it is left out of the scores that need labels.")


def _groups_in_two_splits(side: Side) -> Iterator[Finding]:
    for part, domain in side.parts.items():
        if not isinstance(domain, FileDomain) or not domain.has_groups:
            continue
        try:
            shared = _shared_groups(domain)
        except ValueError as error:
            yield Finding("warning", f"{Place(side.role, part, 'train').domain}: {error}", "Correct or remove group.")
            continue
        if shared:
            yield Finding(
                "warning",
                f"{Place(side.role, part, 'train').domain}: {counted(len(shared), 'group')} in more than one split, so "
                "that images much like those of the scores are trained on.",
                "Put all images of a group into one split. Without lists and a split column Segue does so itself.",
                shared,
            )


def _shared_groups(domain: Domain) -> list[str]:
    splits: dict[str, dict[str, None]] = {}
    for split in SPLITS:
        for name in domain.names(split):
            splits.setdefault(domain.group(name), {})[split] = None
    return [f"{group}: {', '.join(found)}" for group, found in splits.items() if len(found) > 1]

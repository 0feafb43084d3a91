"""What is wrong with the files that were read."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from datamodules import CrossDomainDataModule
from datamodules.batch import DomainName, StreamName
from datamodules.reading import CHANNEL_CONVERSIONS
from datamodules.transforms import TrainTransform
from lightning_app.check.finding import Finding, Severity
from lightning_app.check.image_record import Problem, ProblemKind
from lightning_app.check.portion import is_trained_on
from lightning_app.check.survey import NamedImage, Survey
from lightning_app.check.wording import counted, percent

_ONE: Mapping[ProblemKind, str] = {
    "image": "cannot be read",
    "channels": "does not fit data.channels",
    "mask": "has a mask that cannot be read",
    "size": "has a mask of another size",
}
_MANY: Mapping[ProblemKind, str] = {
    "image": "cannot be read",
    "channels": "do not fit data.channels",
    "mask": "have masks that cannot be read",
    "size": "have masks of another size",
}
_MENDS: Mapping[ProblemKind, str] = {
    "image": "Replace the files, or take them out of the lists and the folder.",
    "channels": "Set data.channels to what the images have, or convert them.",
    "mask": "Save the masks again, or correct the settings of the domain that the reasons name.",
    "size": "Make the masks anew in the size of their images; scaling them would move borders.",
}
_FACTORS = 17
_PADDED = 0.1
"""From this mean share of a crop on, padding is worth a warning."""
_SMALL = 0.02
"""Below this mean share of an image, a crop is worth a note."""


def file_findings(data: CrossDomainDataModule, survey: Survey, streams: Collection[StreamName]) -> list[Finding]:
    """Looks for unreadable files, copies, wrong sizes and channels.

    Args:
        data: the data of the run.
        survey: what was read of it.
        streams: the streams that the run takes.
    """
    return [
        *_unreadable(survey, data.on_bad_file),
        *_copies(survey, streams),
        *_remarkable(survey),
        *_conversions(survey, data.channels),
        *_sizes(survey, data.transforms, streams),
    ]


def _unreadable(survey: Survey, on_bad_file: str) -> Iterator[Finding]:
    alike: dict[tuple[str, ProblemKind, str, Severity], list[tuple[str, Problem]]] = {}
    for place, summary in survey.places.items():
        # Such files are skipped in training alone.
        severity: Severity = "warning" if on_bad_file == "skip" and place.split == "train" else "error"
        for name, problem in summary.problems:
            # Files with the same fault are one finding, whatever the numbers in it.
            key = place.domain, problem.kind, re.sub(r"\d+", "0", problem.fault), severity
            alike.setdefault(key, []).append((f"{place} {name}", problem))
    for (domain, kind, _, severity), files in alike.items():
        reason = files[0][1].reason
        if len(files) == 1:
            what = f"an image of {domain} {_ONE[kind]}: {reason}"
        else:
            what = f"{len(files)} images of {domain} {_MANY[kind]}, such as this: {reason}"
        are_equal = len({problem.fault for _, problem in files}) == 1
        items = [name if are_equal else f"{name}: {problem.reason}" for name, problem in files]
        mend = "" if "value_range" in reason else _MENDS[kind]
        yield Finding(severity, what, mend, items)


def _copies(survey: Survey, streams: Collection[StreamName]) -> Iterator[Finding]:
    leaks: list[list[NamedImage]] = []
    scored: list[list[NamedImage]] = []
    trained: list[list[NamedImage]] = []
    for found in survey.copies:
        copies = [image for image in found if image.place.split != "train" or is_trained_on(image.place, streams)]
        if len(copies) < 2:
            continue
        splits = {image.place.split for image in copies}
        group = scored if "train" not in splits else trained if len(splits) == 1 else leaks
        group.append(copies)
    if leaks:
        yield Finding(
            "error",
            f"{_pictures(leaks)} in training and in a split that is scored, pixel for pixel: the scores are of images "
            "that were trained on.",
            "Take each out of one of the splits.",
            _lines(leaks),
        )
    if scored:
        yield Finding(
            "warning",
            f"{_pictures(scored)} more than once among the images that are scored, pixel for pixel.",
            "Keep each once, in one split.",
            _lines(scored),
        )
    if trained:
        across = [copies for copies in trained if len({image.place.domain for image in copies}) > 1]
        yield Finding(
            "warning" if across else "note",
            f"{_pictures(trained)} more than once in training, pixel for pixel"
            + (f", {len(across)} of them in more than one domain." if across else "."),
            "Keep each once, unless it is to count for more.",
            _lines(trained),
        )


def _pictures(groups: Sequence[Sequence[NamedImage]]) -> str:
    return "a picture is" if len(groups) == 1 else f"{len(groups)} pictures are"


def _lines(groups: Sequence[Sequence[NamedImage]]) -> list[str]:
    return [" = ".join(map(str, copies)) for copies in groups]


def _remarkable(survey: Survey) -> Iterator[Finding]:
    flat = survey.images(lambda summary: summary.flat)
    if flat:
        yield Finding(
            "warning",
            f"{counted(len(flat), 'image')} of one value in all pixels.",
            "Look at them: they may be empty tiles, or 16-bit images of another value_range.",
            flat,
        )
    turned = survey.images(lambda summary: summary.turned)
    if turned:
        yield Finding(
            "warning",
            f"{counted(len(turned), 'image')} turned by EXIF data, which is not applied.",
            "Masks drawn on the turned images do not fit: save the images turned, and without EXIF data.",
            turned,
        )


def _conversions(survey: Survey, channels: int) -> Iterator[Finding]:
    for domain in survey.domains():
        for found, count in survey.of_domain(domain).channels.items():
            if (found, channels) in CHANNEL_CONVERSIONS:
                said, images = CHANNEL_CONVERSIONS[found, channels], counted(count, "image")
                yield Finding("note", f"{domain}: {said} in {images} (data.channels is {channels}).")


def _sizes(
    survey: Survey, transforms: Mapping[DomainName, TrainTransform], streams: Collection[StreamName]
) -> Iterator[Finding]:
    for place, summary in survey.places.items():
        if not is_trained_on(place, streams) or not summary.sizes:
            continue
        transform = transforms[place.role]
        height, width = transform.crop
        low, high = transform.scale
        scaled = f"scaled by {low:g} to {high:g}" if low < high else f"scaled by {low:g}"
        crops = f"training crops are {width} × {height} (width × height)"
        padding, shown = _crop_shares(summary.sizes, transform)
        if padding > _PADDED:
            yield Finding(
                "warning",
                f"{place}: {percent(padding)} of what training sees is padding: {crops}, and the images, {scaled}, are "
                "often smaller.",
                "Make data.crop smaller, or the factors of data.scale larger.",
            )
        elif shown < _SMALL:
            yield Finding(
                "note",
                f"{place}: a crop shows {percent(shown)} of an image: {crops}, and the images are {scaled}.",
                "A larger data.crop or smaller factors of data.scale show more of what is around.",
            )


def _crop_shares(sizes: Mapping[tuple[int, int], int], transform: TrainTransform) -> tuple[float, float]:
    """Returns the mean share of a crop that is padding, and the mean share of an image that a crop shows."""
    crop = np.array(transform.crop)
    images = np.array(list(sizes))[:, None] * np.linspace(*transform.scale, _FACTORS)[None, :, None]
    filled = np.minimum(images / crop, 1).prod(axis=-1).mean(axis=1)
    shown = np.minimum(crop / images, 1).prod(axis=-1).mean(axis=1)
    counts = list(sizes.values())
    return 1 - float(np.average(filled, weights=counts)), float(np.average(shown, weights=counts))

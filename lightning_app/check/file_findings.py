"""What is wrong with the files that were read."""

from collections.abc import Iterator, Mapping
from pathlib import PurePath

import numpy as np

from datamodules import CrossDomainDataModule
from datamodules.reading import CHANNEL_CONVERSIONS
from datamodules.transforms import TrainTransform
from lightning_app.check.finding import Finding
from lightning_app.check.image_record import ProblemKind
from lightning_app.check.survey import NamedImage, Survey
from lightning_app.check.wording import percent

_WHAT: Mapping[ProblemKind, str] = {
    "image": "cannot be read",
    "channels": "do not fit data.channels",
    "mask": "have a mask that cannot be read",
    "size": "have a mask of another size",
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


def file_findings(data: CrossDomainDataModule, survey: Survey) -> list[Finding]:
    """Looks for unreadable files, copies, wrong sizes and channels.

    Args:
        data: the data of the run.
        survey: what was read of it.
    """
    return [
        *_unreadable(survey),
        *_copies(survey),
        *_flat(survey),
        *_conversions(survey, data.channels),
        *_sizes(survey, data.transform),
    ]


def _unreadable(survey: Survey) -> Iterator[Finding]:
    by_reason: dict[tuple[str, ProblemKind, str], list[tuple[str, str]]] = {}
    for place, summary in survey.places.items():
        for name, problem in summary.problems:
            # All files with the same fault are one finding, whatever the reason says of each.
            key = place.domain, problem.kind, _without_names(problem.reason, name)
            by_reason.setdefault(key, []).append((f"{place} {name}", problem.reason))
    for (domain, kind, reason), files in by_reason.items():
        images = f"{len(files)} images of {domain}" if len(files) > 1 else f"An image of {domain}"
        verb = (
            _WHAT[kind] if len(files) > 1 else _WHAT[kind].replace("have", "has").replace("do not fit", "does not fit")
        )
        shown = files[0][1] if len(files) == 1 else reason
        items = [name for name, _ in files] if kind != "size" else [f"{name}: {why}" for name, why in files]
        yield Finding("error", f"{images} {verb}: {shown}", _MENDS[kind], items)


def _without_names(reason: str, name: str) -> str:
    """Returns a reason without the path of the file and without numbers of its own."""
    words = [
        "…" if PurePath(word.strip(".,:;'\"")).with_suffix("").as_posix().endswith(name) else word
        for word in reason.split(" ")
    ]
    return " ".join(words)


def _copies(survey: Survey) -> Iterator[Finding]:
    held_out: list[str] = []
    scored_twice: list[str] = []
    trained_twice: list[str] = []
    for copies in survey.copies:
        line = " = ".join(str(image) for image in copies)
        splits = {image.place.split for image in copies}
        if "train" in splits and len(splits) > 1:
            held_out.append(line)
        elif "train" in splits:
            trained_twice.append(line)
        else:
            scored_twice.append(line)
    if held_out:
        yield Finding(
            "error",
            f"{_pictures(len(held_out))} in training and in a split that is scored, pixel for pixel: the scores are of "
            "images that were trained on.",
            "Take each out of one of the splits.",
            held_out,
        )
    if scored_twice:
        yield Finding(
            "warning",
            f"{_pictures(len(scored_twice))} more than once among the images that are scored, pixel for pixel.",
            "Keep each once, in one split.",
            scored_twice,
        )
    if trained_twice:
        roles = {image.place.domain for copies in survey.copies for image in copies if image.place.split == "train"}
        between = _between_domains(survey.copies)
        yield Finding(
            "warning" if between else "note",
            f"{_pictures(len(trained_twice))} more than once in training, pixel for pixel"
            + (f", {between} of them in several domains ({', '.join(sorted(roles))})." if between else "."),
            "Keep each once, unless it is to count for more.",
            trained_twice,
        )


def _pictures(count: int) -> str:
    return "A picture is" if count == 1 else f"{count} pictures are"


def _between_domains(groups: list[list[NamedImage]]) -> int:
    return sum(len({image.place.domain for image in copies}) > 1 for copies in groups)


def _flat(survey: Survey) -> Iterator[Finding]:
    flat = [f"{place} {name}" for place, summary in survey.places.items() for name in summary.flat]
    if flat:
        yield Finding(
            "warning",
            f"{len(flat)} images have one value in all their pixels.",
            "Look at them: they may be empty tiles, or 16-bit images of another value_range.",
            flat,
        )


def _conversions(survey: Survey, channels: int) -> Iterator[Finding]:
    for domain in survey.domains():
        for found, count in survey.of_domain(domain).channels.items():
            if (found, channels) in CHANNEL_CONVERSIONS:
                what = (
                    f"{domain}: {CHANNEL_CONVERSIONS[found, channels]} in {count} images (data.channels is {channels})."
                )
                yield Finding("note", what)


def _sizes(survey: Survey, transform: TrainTransform) -> Iterator[Finding]:
    height, width = transform.crop
    low, high = transform.scale
    scaled = f"scaled by {low:g} to {high:g}" if low < high else f"scaled by {low:g}"
    crops = f"training crops are {width} × {height} (width × height)"
    for place, summary in survey.places.items():
        if place.split != "train" or not summary.sizes:
            continue
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

"""What is wrong with the labels that were read."""

from collections.abc import Collection, Iterator

from datamodules import CrossDomainDataModule
from datamodules.batch import IGNORE, StreamName
from datamodules.label_map import LabelMap
from datamodules.names import some
from lightning_app.check.finding import Finding
from lightning_app.check.portion import Place
from lightning_app.check.survey import Summary, Survey, together
from lightning_app.check.wording import counted


def label_findings(data: CrossDomainDataModule, survey: Survey, streams: Collection[StreamName]) -> list[Finding]:
    """Looks for unknown ids, rules about ids that never occur, absent classes and masks without a label.

    Args:
        data: the data of the run.
        survey: what was read of it.
        streams: the streams that the run takes; without ``labelled_target`` it learns from no target mask.
    """
    findings: list[Finding] = []
    for role, side in data.sides.items():
        for part, label_map in side.label_maps.items():
            domain = Place(role, part, "train").domain
            summary = survey.of_domain(domain)
            findings += _unknown_ids(domain, summary, label_map)
            findings += _idle_rules(domain, summary, label_map)
    return [*findings, *_absent_classes(data, survey, streams), *_without_labels(survey), *_one_sided(data)]


def _unknown_ids(domain: str, summary: Summary, label_map: LabelMap) -> Iterator[Finding]:
    if not summary.unknown:
        return
    ids = sorted(summary.unknown)
    files = {name for names in summary.unknown_in.values() for name in names}
    lines = [
        f"id {id_}: {summary.unknown[id_]:,} pixels in {counted(len(summary.unknown_in[id_]), 'mask')}: "
        f"{some(summary.unknown_in[id_])}"
        for id_ in ids
    ]
    yield Finding(
        "error",
        f"{counted(len(files), 'mask')} of {domain} with ids that no class has: {_listed(ids)}, in "
        f"{summary.unknown.total():,} of {summary.ids.total():,} pixels.",
        f"Say what they become in {label_map.key}, such as {{{ids[0]}: ignore}}.",
        lines,
    )


def _idle_rules(domain: str, summary: Summary, label_map: LabelMap) -> Iterator[Finding]:
    if not summary.masks_read:
        return
    idle = {id_: value for id_, value in label_map.rules_by_id.items() if id_ not in summary.ids}
    # A data set's whole table may well name what a part of it lacks; what matters is a class that stays without pixels.
    lost = {id_: value for id_, value in idle.items() if value not in ("ignore", IGNORE)}
    if idle:
        ids = [f"{id_} ({label_map.names[id_]})" if id_ in label_map.names else f"{id_}" for id_ in sorted(idle)]
        yield Finding(
            "warning" if lost else "note",
            f"{label_map.key} has rules about ids that none of the {summary.masks_read} masks of {domain} that were "
            f"read holds: {_listed(ids)}.",
            "Look whether the masks hold other ids than you think." if lost else "",
            [f"{id_}: {idle[id_]}" for id_ in sorted(idle)],
        )


def _absent_classes(data: CrossDomainDataModule, survey: Survey, streams: Collection[StreamName]) -> Iterator[Finding]:
    used = {"source": "source", "target": "labelled_target"}
    learned = [place for place in survey.places if place.split == "train" and used[place.role] in streams]
    trained = together(survey.places[place] for place in learned)
    if trained.masks_read:
        # What no domain can show is told as a note of its own.
        shown = set().union(*(data.sides[place.role].classes_shown for place in learned))
        absent = [
            name
            for class_id, name in enumerate(data.classes)
            if class_id in shown and not trained.class_pixels[class_id]
        ]
        hint = "Take the class out of data.classes, or correct classes and label_map of the domain."
        if set(trained.ids) == {0, IGNORE} and absent:
            hint = "The masks hold only 0 and 255: if 255 is a class, set label_map: {255: 1}."
        if absent:
            yield Finding(
                "warning",
                f"none of the {trained.masks_read} training masks that were read holds a pixel of "
                f"{', '.join(absent)}: the network cannot learn it.",
                hint,
            )
    for place, summary in survey.places.items():
        reached = data.sides[place.role].label_maps[place.part].reached
        absent = [data.classes[class_id] for class_id in reached if not summary.class_pixels[class_id]]
        if place.split != "train" and summary.masks_read and absent:
            yield Finding(
                "note",
                f"{place}: no pixel of {', '.join(absent)} in the {summary.masks_read} masks that were read; classes "
                "without pixels have no score.",
            )


def _without_labels(survey: Survey) -> Iterator[Finding]:
    ignored = survey.images(lambda summary: summary.ignored)
    if ignored:
        yield Finding(
            "warning",
            f"{counted(len(ignored), 'mask')} of ignored pixels alone: there is nothing to learn or to score.",
            "Take the images out, or say in label_map what their ids are.",
            ignored,
        )


def _one_sided(data: CrossDomainDataModule) -> Iterator[Finding]:
    if len(data.shared_classes) == len(data.classes):
        return
    for role, side in data.sides.items():
        hidden = [name for class_id, name in enumerate(data.classes) if class_id not in side.classes_shown]
        if hidden:
            yield Finding(
                "note",
                f"{role}: no id of its masks stands for {', '.join(hidden)}, by its classes and its label map. The "
                "mean over the classes of both domains is scored besides.",
            )


def _listed(values: list[int] | list[str]) -> str:
    more = f" and {len(values) - 10} more" if len(values) > 10 else ""
    return ", ".join(f"{value}" for value in values[:10]) + more

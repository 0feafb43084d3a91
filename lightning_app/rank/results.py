"""What training from the candidates came to, where somebody has trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from lightning_app.compare.reading import read_runs
from lightning_app.compare.run import STAGES, Run, strategy_name
from lightning_app.rank.candidate import Candidate


@dataclass(frozen=True)
class Results:
    """What training from the candidates came to.

    Attributes:
        miou: the target's mIoU in [0, 1] by the candidate's name, the mean over its runs.
        what: what the scores are of.
        notes: what was left out, and why.
    """

    miou: dict[str, float]
    what: str = ""
    notes: list[str] = field(default_factory=list)


def read_results(places: Sequence[Path], candidates: Sequence[Candidate], config: Mapping[str, Any]) -> Results:
    """Reads the runs that began with one of the candidates.

    Args:
        places: folders of runs, or folders of such folders.
        candidates: the candidates.
        config: the settings by dotted key; a run counts if its target is the same.

    Raises:
        ValueError: if a place holds no run, or the runs were not made alike: then they differ for other reasons than
            where they began.
    """
    counted: dict[str, list[Run]] = {}
    notes = []
    for run in read_runs(places):
        name = next((one.name for one in candidates if _began_with(run, one)), None)
        if name is None:
            continue
        why = _why_not(run, config)
        if why is None:
            counted.setdefault(name, []).append(run)
        else:
            notes.append(f"{run.name} is left out: {why}.")
    runs = [run for of_candidate in counted.values() for run in of_candidate]
    if not runs:
        return Results({}, notes=[*notes, f"No finished run in {', '.join(map(str, places))} began with a candidate."])
    made = sorted({_how_made(run) for run in runs})
    if len(made) > 1:
        raise ValueError(
            f"the runs of --runs were made in different ways ({'; '.join(made)}), and so differ for other reasons than "
            "where they began. Name runs of one kind."
        )
    stage = next((stage for stage in STAGES if all(_miou(run, stage) is not None for run in runs)), None)
    if stage is None:
        raise ValueError(
            "the runs of --runs have no scores of the target of one kind; score each with lightning test --config … "
            "--ckpt_path …/last.ckpt."
        )
    miou = {name: mean(_miou(run, stage) or 0.0 for run in of) for name, of in counted.items()}
    return Results(miou, f"{STAGES[stage]}, {made[0]}", notes)


def _began_with(run: Run, candidate: Candidate) -> bool:
    words = candidate.options
    wanted = dict(zip((word.removeprefix("--") for word in words[::2]), words[1::2], strict=True))
    began = run.config.get("model.init_from")
    if candidate.checkpoint is not None:
        return began is not None and Path(began).resolve() == candidate.checkpoint.resolve()
    return began is None and all(
        str(run.config.get(key, "null")) == wanted[key] for key in ("model.encoder", "model.encoder_weights")
    )


def _why_not(run: Run, config: Mapping[str, Any]) -> str | None:
    if _target(run.config) != _target(config):
        return "its target is another"
    if int(run.record.get("steps", 0)) < int(run.record.get("max_steps", 0)):
        return f"it was stopped at step {run.record['steps']} of {run.record['max_steps']}"
    if not any(_miou(run, stage) is not None for stage in STAGES):
        return "the target was never scored"
    return None


def _target(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if f"{key}.".startswith("data.target.")}


def _how_made(run: Run) -> str:
    return f"{strategy_name(run.config)}, target labels: {run.labels}, steps: {run.config.get('trainer.max_steps')}"


def _miou(run: Run, stage: str) -> float | None:
    return run.scores.get(stage, {}).get("target", {}).get("mIoU")

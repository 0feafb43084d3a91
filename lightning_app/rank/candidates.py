"""Candidates as they are spelled on the command line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lightning_app.network_spec import NetworkSpec, did_you_mean
from lightning_app.rank.candidate import Candidate
from lightning_app.rank.checkpoint_candidate import CheckpointCandidate
from lightning_app.rank.encoder_candidate import EncoderCandidate
from lightning_app.rank.torchvision_candidate import MODELS, TorchvisionCandidate, downloaded
from lightning_app.weight_files import SUFFIXES, is_checkpoint, read_file

WAYS = (
    "A candidate is the folder of a run or a checkpoint (runs/source), encoder:<name>=<weights>, a local file of "
    f"encoder weights ({', '.join(SUFFIXES)}), other weights of the config's encoder (imagenet, torchvision:…, "
    "package:…, null for chance), or a model of torchvision with its file (<model>=<file>; models: "
    f"{', '.join(MODELS)})."
)
_ENCODER = "encoder:"


@dataclass(frozen=True)
class Setup:
    """What the config says of the network that is to be trained.

    Attributes:
        spec: architecture, encoder, classes, channels and options.
        encoder_weights: those of the config, which go without saying.
        init_from: the config's; None if there is none.
        seed: decides weights of chance.
        runs: the folder of runs that are named without a path.
    """

    spec: NetworkSpec
    encoder_weights: str | None
    init_from: str | None
    seed: int
    runs: Path


def parse_candidates(spelled: Sequence[str], setup: Setup) -> list[Candidate]:
    """Finds out what each candidate is.

    Args:
        spelled: the candidates, as ``WAYS`` says.
        setup: what the config says.

    Raises:
        ValueError: if there are fewer than two, one stands twice, or one cannot be understood or read; it is named.
    """
    if len(spelled) < 2:
        raise ValueError(f"--candidates names {len(spelled)} network; a ranking compares at least two. {WAYS}")
    repeated = next((text for place, text in enumerate(spelled) if text in spelled[:place]), None)
    if repeated is not None:
        raise ValueError(f"--candidates names {repeated} twice.")
    found = []
    for text in spelled:
        try:
            found.append(_parse(text, setup))
        except (ValueError, OSError) as error:
            raise ValueError(f"candidate {text}: {error}") from error
    return found


def _parse(text: str, setup: Setup) -> Candidate:
    spec, drops = setup.spec, setup.init_from is not None
    if text.startswith(_ENCODER):
        encoder, _, weights = text.removeprefix(_ENCODER).partition("=")
        return EncoderCandidate(
            text, replace(spec, encoder=encoder), _weights(weights or "imagenet"), drops, setup.seed
        )
    name, equals, file = text.partition("=")
    if name in MODELS:
        path = Path(file).expanduser() if file else downloaded(name)
        if not path.is_file():
            raise ValueError(f"there is no file {path} with its weights. Name one: {name}=/path/to/{name}.pth")
        return TorchvisionCandidate(text, replace(spec, encoder=MODELS[name]), name, path, drops)
    # Before folders: one of that name may hold data.
    if text in ("null", "imagenet") or text.startswith(("torchvision:", "package:")):
        return EncoderCandidate(text, spec, _weights(text), drops, setup.seed)
    found = _file(Path(text).expanduser(), setup.runs)
    if equals and found is None:
        nearest = did_you_mean(name, [*MODELS, _ENCODER])
        raise ValueError(f"torchvision has no segmentation model {name} that Segue can start from{nearest} {WAYS}")
    if found is None:
        around = [*MODELS, "imagenet", "null", *map(str, _runs_near(Path(text), setup.runs))]
        raise ValueError(f"there is no such thing{did_you_mean(text, around)} {WAYS}")
    if is_checkpoint(read_file(found)):
        return CheckpointCandidate(text, spec, found, setup.encoder_weights is not None)
    return EncoderCandidate(text, spec, f"{found}", drops, setup.seed)


def _weights(text: str) -> str | None:
    return None if text == "null" else text


def _file(path: Path, runs: Path) -> Path | None:
    """Returns the file that a path names: itself, or the last checkpoint of a run."""
    for place in (path, runs / path):
        if place.is_file():
            return place
        if place.is_dir():
            # As tables report the last one; the best is what there is where none was saved at the end.
            for checkpoint in ("last.ckpt", "best.ckpt"):
                if (place / "checkpoints" / checkpoint).is_file():
                    return place / "checkpoints" / checkpoint
            raise ValueError(f"{place} holds no checkpoints/last.ckpt and no checkpoints/best.ckpt.")
    return None


def _runs_near(path: Path, runs: Path) -> list[Path]:
    folder = path.parent if len(path.parts) > 1 else runs
    if not folder.is_dir():
        return []
    return sorted(found if len(path.parts) > 1 else found.relative_to(runs) for found in folder.iterdir())

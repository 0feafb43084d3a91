"""The front door of ``lightning`` and ``segue``: answers at once what needs no imports, and hands on the rest."""

import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import yaml

from lightning_app import __version__

COMMANDS = {
    "fit": "train by a strategy, or resume with --ckpt_path",
    "validate": "score the validation images of both domains",
    "test": "score the test images of both domains",
    "predict": "write masks and overlays for a folder of images",
    "check": "read all files before a run and report what must be mended",
    "compare": "put runs side by side on one page: scores, what is noise, curves, pictures",
    "gap": "say how far apart source and target are, and which method that speaks for",
    "rank": "tell from a few target labels which network transfers best, without training",
    "strategies": "list the methods: what each needs and costs, and its paper",
    "workspace": "make a view of a W&B project with the curves, pictures and tables of its runs",
    "demo": "source → target on generated streets, in three minutes",
    "doctor": "say which versions are installed, and who took the name 'lightning'",
}

HELP = f"""Segue {__version__}: teach a segmentation network a new domain.

usage: lightning <command> [options]

commands:
{chr(10).join(f"  {name:<12}{text}" for name, text in COMMANDS.items())}

  lightning fit --config configs/example/streets.yaml
  lightning fit --config my.yaml --model.strategy FineTune --trainer.max_steps 500
  lightning test --config my.yaml --ckpt_path runs/my/checkpoints/best.ckpt
  lightning fit --help                     all options of a command
  lightning fit --model.strategy.help FineTune
  lightning fit --config my.yaml --print_config

`model.strategy` is how the network learns; `trainer.strategy` is how devices cooperate. `segue` and
`python -m lightning_app` are the same program.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Runs the program.

    Args:
        args: the arguments; those of the process if None.

    Raises:
        SystemExit: with 0 after ``--help`` and ``--version``, with 2 after a mistake in the arguments.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        raise SystemExit(0)
    if arguments[0] == "--version":
        print(f"segue {__version__}")
        raise SystemExit(0)
    command = next((word for word in arguments if not word.startswith("-")), "")
    if arguments[0] not in COMMANDS and not (arguments[0].startswith("-") and command in COMMANDS):
        nearest = get_close_matches(arguments[0], COMMANDS, n=1)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        _refuse(f"there is no command '{arguments[0]}'.{hint} Commands: {', '.join(COMMANDS)}.")
    for path in _config_files(arguments):
        _check_yaml(path)

    if command != "compare":  # which reads what runs left: neither torch nor what the working directory holds
        _check_packages()
        # A console script does not put the working directory on the path, and `class_path: my_file.MyMethod` needs it.
        if str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
    # Lightning and torch take seconds to import: only now.
    if command in ("fit", "validate", "test", "predict"):
        from lightning_app.command_line import run

        run(None if args is None else arguments)
    else:
        # Those that take the options of fit parse their own name too.
        words = arguments if command in ("check", "gap", "rank") else arguments[1:]
        import_module(f"lightning_app.commands.{command}").main(words)


def _refuse(message: str) -> NoReturn:
    print(f"lightning: {message}", file=sys.stderr)
    raise SystemExit(2)


def _config_files(arguments: Sequence[str]) -> Iterator[Path]:
    """Yields the config files, and refuses one that does not exist before seconds of imports."""
    for place, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name not in ("--config", "-c"):
            continue
        if not equals:
            value = arguments[place + 1] if place + 1 < len(arguments) else ""
        path = Path(value)
        if not value or "\n" in value:
            continue
        if path.is_file():
            yield path
            continue
        # The folder itself and our own configs; a whole disk takes long to walk.
        beside = path.parent.glob("*.y*ml") if path.parent.is_dir() else []
        around = [str(found) for found in [*beside, *Path("configs").rglob("*.yaml")]]
        nearest = get_close_matches(value, around, n=1, cutoff=0.4)
        hint = f" Did you mean {nearest[0]}?" if nearest else ""
        _refuse(f"there is no config file {value} (the working directory is {Path.cwd()}).{hint}")


def _check_yaml(path: Path) -> None:
    """Refuses a file that is no YAML, and one in which a key stands twice: the first would be lost in silence."""
    try:
        waiting = [yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        _refuse(f"{path} is no YAML: {error}\nWhat begins with * or & is written in quotes.")
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if str(key.value) in lines:
                    _refuse(f"{path}, line {line}: {key.value!r} stands in line {lines[str(key.value)]} already.")
                lines[str(key.value)] = line
                waiting.append(value)


def _check_packages() -> None:
    """Refuses foreign packages under our generic names."""
    # Imported before the working directory is on the path, so that a folder of the user's does not hide ours.
    import datamodules
    import strategies

    home = Path(__file__).resolve().parent.parent
    for package in (strategies, datamodules):
        found = Path(next(iter(package.__path__))).resolve()
        if found != home / package.__name__:
            _refuse(
                f"the package '{package.__name__}' is imported from {found}, but Segue's is {home / package.__name__}. "
                "Rename that one, or run from another folder."
            )

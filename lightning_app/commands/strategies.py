"""``lightning strategies``: the methods there are, what each needs and costs, and its paper."""

import argparse
import inspect
import re
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding

import strategies
from lightning_app.network import SegmentationNetwork
from lightning_app.network_spec import NetworkSpec
from strategies import SourceOnly, Strategy, Wrapper

COLUMNS = ("strategy", "what it does", "unlabelled target", "target labels", "parameters", "cost of a step", "paper")
_CLASSES = "road, sidewalk, building, pole, vegetation, sky, person, rider, car, motorcycle, bicycle"
MEASURED_ON = NetworkSpec("Unet", "resnet18", _CLASSES.split(", "))
"""The network beside which a method's own parameters are counted; some methods look for things among the classes."""


def methods() -> list[type[Strategy]]:
    """Returns the strategies that can be chosen, by name."""
    found = [value for value in vars(strategies).values() if inspect.isclass(value) and issubclass(value, Strategy)]
    return sorted((one for one in found if one not in (Strategy, Wrapper)), key=lambda one: one.__name__)


def describe(method: type[Strategy]) -> tuple[str, ...]:
    """Returns a method's row of the table, with its default arguments.

    Args:
        method: one of the strategies.

    Returns:
        One text for each of ``COLUMNS``.
    """
    text = inspect.getdoc(method) or ""
    strategy = method()
    if isinstance(strategy, Wrapper):
        # What it needs itself shows over a base that needs nothing.
        alone = type(strategy)(SourceOnly())
        reads_target = "target" in alone.required_streams or alone.refresh_every is not None
        images = "needed" if reads_target else "as its base"
        labels = "as its base"
    else:
        images = _need("target", strategy)
        labels = _need("labelled_target", strategy)
    network = SegmentationNetwork(MEASURED_ON)
    if strategy.wants_pretrained:
        strategy.keep_pretrained(network)
    strategy.build(network, MEASURED_ON.classes)
    own = sum(parameter.numel() for parameter in strategy.parameters())
    return (
        method.__name__,
        text.partition("\n")[0],
        images,
        labels,
        f"+{own / 1e6:.1f} M" if own else "–",
        _section(text, "Costs"),
        papers(text),
    )


def papers(text: str) -> str:
    """Returns a docstring's papers by title and venue; a reference is authors, title, venue, address."""
    references = [one.split(", ") for one in _section(text, "Reference").split("; ")]
    return "; ".join(", ".join(parts[1:3]) for parts in references if len(parts) > 2) or "–"


def main(args: Sequence[str]) -> None:
    """Prints the methods, each as a block: a table of so many columns would not fit a terminal.

    Args:
        args: none but ``--help``.
    """
    argparse.ArgumentParser("lightning strategies", description=__doc__).parse_args(args)
    console = Console(highlight=False)
    for method in methods():
        name, summary, *facts = describe(method)
        console.print(f"[bold]{name}[/bold]: {summary}")
        named = [f"{column}: {fact}" for column, fact in zip(COLUMNS[2:], facts, strict=True)]
        console.print(Padding(" · ".join(named), (0, 0, 1, 4)))
    console.print(
        "Choose one by --model.strategy NAME on any config; its arguments: lightning fit --model.strategy.help NAME"
    )
    console.print("A method of your own, in a file of the working directory: --model.strategy my_file.MyMethod")


def _need(stream: str, strategy: Strategy) -> str:
    if stream in strategy.required_streams:
        return "needed"
    return "optional" if stream in strategy.optional_streams else "never"


def _section(text: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*?)(?=\n\s*\n|\n[A-Z][\w ]*: |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    return " ".join(found[1].replace("``", "").split()) if found else ""

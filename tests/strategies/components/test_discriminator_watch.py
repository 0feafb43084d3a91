"""When a discriminator's failure is said, and how often."""

import warnings

import pytest
import torch

from strategies.components.discriminator_watch import DiscriminatorWatch


def remarks(watch: DiscriminatorWatch) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watch.look()
    return [str(one.message) for one in caught]


def observe(watch: DiscriminatorWatch, batches: int, source: list[float], target: list[float]) -> None:
    for _ in range(batches):
        watch.observe(torch.tensor(source), torch.tensor(target))


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (1.0, 0.99, "it has won"),
        (1.0, 0.9, None),
        (0.0, 1.0, "it is guessing"),  # of one opinion
        (0.52, 0.5, "it is guessing"),
        (0.7, 0.6, None),
        (0.0, 0.0, None),
    ],
)
def test_a_verdict_takes_nine_batches_of_ten(source: float, target: float, message: str | None) -> None:
    watch = DiscriminatorWatch(["output"])
    observe(watch, 90, [source], [target])
    observe(watch, 10, [0.8], [0.8])
    assert remarks(watch) == []
    observe(watch, 91, [source], [target])
    observe(watch, 9, [0.8], [0.8])
    found = remarks(watch)
    assert len(found) == (message is not None)
    if message:
        assert message in found[0] and "The discriminator of output" in found[0] and "91 of the last 100" in found[0]


def test_it_is_said_once_of_the_right_one_and_again_after_a_change() -> None:
    watch = DiscriminatorWatch(["encoder.0", "encoder.4"])
    said = []
    for second in (1.0, 1.0, 0.8, 1.0):  # won, still, useful, won again
        observe(watch, 10, [0.8, second], [0.8, second])
        said.append(remarks(watch))
    assert [len(one) for one in said] == [1, 0, 0, 1]
    assert all("of encoder.4" in one for found in said for one in found)


def test_a_resumed_run_does_not_say_it_again() -> None:
    watch, resumed = DiscriminatorWatch(["output"]), DiscriminatorWatch(["output"])
    observe(watch, 10, [1.0], [1.0])
    assert remarks(watch)
    observe(watch, 5, [1.0], [1.0])
    resumed.load_state_dict(watch.state_dict())
    observe(resumed, 5, [1.0], [1.0])
    assert int(resumed.tallies[0, 0]) == 10 and remarks(resumed) == []

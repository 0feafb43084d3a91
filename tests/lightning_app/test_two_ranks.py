"""Two ranks on the CPU under plain ddp: equal parameters, the mean of the ranks' gradients, one confusion matrix."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

SCRIPT = Path(__file__).with_name("two_ranks.py")
_spec = spec_from_file_location("two_ranks", SCRIPT)
assert _spec is not None and _spec.loader is not None
two_ranks = module_from_spec(_spec)
_spec.loader.exec_module(two_ranks)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of the two ranks saw, started the way several nodes are: by torchrun."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*command, str(SCRIPT), str(folder)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("name", list(two_ranks.NETWORKS))
def test_any_network_trains_and_the_ranks_stay_equal(name: str, ranks: list[dict[str, Any]]) -> None:
    first, second = (found[name]["parameters"] for found in ranks)
    start = {key: value.detach() for key, value in two_ranks.segmenter(name).named_parameters()}
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], start[key]) for key in first)


def test_gradients_are_the_mean_over_the_ranks_batches_and_seeds(ranks: list[dict[str, Any]]) -> None:
    for step in range(3):
        expected: dict[str, torch.Tensor] = {}
        for rank, found in enumerate(ranks):
            module = two_ranks.segmenter("FPN")
            module.load_state_dict(found["FPN"]["before"][step])
            module.train()
            state = np.random.SeedSequence([module.seed, rank, step]).generate_state(1, np.uint64)[0]
            torch.manual_seed(int(state >> np.uint64(1)))
            batch = found["FPN"]["batches"][step]
            terms = module.strategy.losses(module.network, batch, two_ranks.Step(step, 3))
            torch.stack([value for named in terms for value in named.values()]).sum().backward()
            for key, parameter in module.named_parameters():
                if parameter.grad is not None:
                    expected[key] = expected.get(key, torch.zeros_like(parameter)) + parameter.grad / 2
        assert expected
        for found in ranks:
            for key, value in expected.items():
                torch.testing.assert_close(found["FPN"]["gradients"][step][key], value, rtol=1e-4, atol=1e-6)


def test_the_ranks_read_different_images(ranks: list[dict[str, Any]]) -> None:
    names = [[batch["source"]["name"] for batch in found["FPN"]["batches"]] for found in ranks]
    assert not set(names[0][0]) & set(names[1][0])


def test_a_set_that_two_does_not_divide_is_scored_like_in_one_process(
    ranks: list[dict[str, Any]], make_trainer: Any
) -> None:
    module = two_ranks.segmenter("FPN")
    module.load_state_dict(ranks[0]["state"])
    make_trainer().validate(module, two_ranks.data(), verbose=False)
    for found in ranks:
        assert found["scores"] == {domain: vars(scores) for domain, scores in module.scores.items()}
    assert module.scores["source"].pixels == 5 * 32 * 48

"""Rounds, thresholds and losses of self-training against the papers' formulas."""

from typing import Any

import pytest
import tiny
import torch
from torch import Tensor
from torch.nn import functional

from strategies import SelfTraining, Step

CLASSES = 10


def images(*seeds: int, count: int = 1) -> list[Tensor]:
    return [torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in seeds]


def target_batches(names: str = "abc") -> list[Any]:
    """One batch for each letter, with an image of its own."""
    return [{"image": image, "name": [name]} for name, image in zip(names, images(*range(len(names))), strict=True)]


def batch() -> Any:
    source, target = images(10, 11, count=2)
    mask = torch.randint(0, CLASSES, (2, 32, 32), generator=torch.Generator().manual_seed(12))
    return {"source": {"image": source, "mask": mask, "name": []}, "target": {"image": target, "name": []}}


def built(**settings: Any) -> tuple[SelfTraining, Any]:
    """A strategy in its first round, and the network, which has moved on since."""
    strategy = SelfTraining(**settings)
    network: Any = tiny.make_segmenter(strategy).network.eval()
    with torch.no_grad():
        network.segmentation_head[0].weight.mul_(3)  # so that it is sure of something
        strategy.refresh(network, target_batches(), Step(0, 100))
        for parameter in network.parameters():
            parameter.mul_(1.05)
    return strategy, network


def terms(strategy: SelfTraining, network: Any, step: Step) -> dict[str, Tensor]:
    return {k: v for named in strategy.losses(network, batch(), step) for k, v in named.items()}


def written_out(strategy: SelfTraining, network: Any) -> Tensor:
    """The loss on the target, pixel by pixel, from what the network of the round's start says."""
    image = batch()["target"]["image"]
    log_p = network(image).log_softmax(dim=1)
    p, k = strategy.labeller(image).softmax(dim=1), strategy.thresholds
    losses = []
    for b, h, w in torch.cartesian_prod(torch.arange(2), torch.arange(32), torch.arange(32)).tolist():
        ratios = p[b, :, h, w] / k
        here = log_p[b, :, h, w]
        if strategy.regularizer == "lrent":
            soft = ratios**4 / (ratios**4).sum()
            entropy = -(soft * (soft + 1e-30).log()).sum()
            if -(soft * p[b, :, h, w].log()).sum() - 0.25 * entropy < -(soft * k.log()).sum():
                losses.append(-(soft * here).sum())
        elif ratios.max() >= 1:
            loss = -here[ratios.argmax()]
            losses.append(loss + 0.1 * -here.sum() / CLASSES if strategy.regularizer == "mrkld" else loss)
    assert 50 < len(losses) < 2000
    return torch.stack(losses).mean()


@pytest.mark.parametrize("regularizer", ["none", "mrkld", "lrent"])
def test_the_loss_on_the_target_is_the_papers(regularizer: Any) -> None:
    strategy, network = built(regularizer=regularizer, weight=0.5)
    found = terms(strategy, network, Step(1, 100))
    assert set(found) == {"segmentation", "pseudo_labels"}
    with torch.no_grad():
        strategy.labeller.eval()
    wanted = 0.5 * written_out(strategy, network)
    torch.testing.assert_close(found["pseudo_labels"], wanted)
    source = batch()["source"]
    torch.testing.assert_close(
        found["segmentation"], functional.cross_entropy(network(source["image"]), source["mask"])
    )
    weight = network.segmentation_head[0].weight
    (ours,) = torch.autograd.grad(found["pseudo_labels"], weight)
    (theirs,) = torch.autograd.grad(wanted, weight)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)
    assert ours.abs().max() > 1e-3


@pytest.mark.parametrize("regularizer", ["none", "mrkld", "lrent"])
def test_where_nothing_is_labelled_nothing_is_learned(regularizer: Any) -> None:
    strategy = SelfTraining(regularizer=regularizer)
    network: Any = tiny.make_segmenter(strategy).network.eval()
    # Before any round the thresholds are 1.
    loss = terms(strategy, network, Step(0, 100))["pseudo_labels"]
    assert loss.item() == 0
    (gradient,) = torch.autograd.grad(loss, network.segmentation_head[0].weight)
    assert not gradient.any()


@pytest.mark.parametrize("regularizer", ["none", "mrkld", "lrent"])
def test_logits_of_half_precision_have_thresholds_and_losses_in_float32(regularizer: Any) -> None:
    """In bfloat16 eight probabilities are all there is from 0.97 to 1, and a threshold would be one of them."""

    def ran(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        network: Any = torch.nn.Conv2d(3, CLASSES, 1)
        network.register_forward_hook(lambda _, given, logits: (9 * logits).bfloat16().to(dtype))
        strategy = SelfTraining(regularizer=regularizer)
        strategy.build(network, [str(number) for number in range(CLASSES)])
        strategy.refresh(network, target_batches(), Step(0, 100))
        return strategy.thresholds, terms(strategy, network, Step(0, 100))["pseudo_labels"]

    for half, full in zip(ran(torch.bfloat16), ran(torch.float32), strict=True):
        torch.testing.assert_close(half, full, rtol=0, atol=0)


def test_labels_are_the_copys_until_the_next_round() -> None:
    strategy, network = built()
    with torch.no_grad():
        first = Step(0, 100), Step(1, 100)
        terms(strategy, network, first[0])
        for parameter in network.parameters():
            parameter.add_(0.3)
        terms(strategy.train(), network, first[1])  # Lightning puts all modules into training mode
        assert torch.equal(first[0].shared["pseudo_labels"], first[1].shared["pseudo_labels"])
        strategy.refresh(network, target_batches(), Step(2, 100))
        later = Step(2, 100)
        terms(strategy, network, later)
    assert not torch.equal(first[0].shared["pseudo_labels"], later.shared["pseudo_labels"])
    assert all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(strategy.labeller.state_dict().values(), network.state_dict().values(), strict=True)
    )


def share_labelled(strategy: SelfTraining, network: Any, step: Step) -> float:
    """The share of all pixels of the target that a round labels with the class that they were predicted as."""
    with torch.no_grad():
        strategy.refresh(network, target_batches("abcd"), step)
        p = network(torch.cat([one["image"] for one in target_batches("abcd")])).softmax(dim=1)
    return (p.amax(dim=1) >= strategy.thresholds[p.argmax(dim=1)]).float().mean().item()


def test_the_portion_grows_from_round_to_round_up_to_its_largest() -> None:
    strategy, network = built(refresh_every=10)
    wanted = {0: 0.2, 9: 0.2, 10: 0.25, 20: 0.3, 59: 0.45, 60: 0.5, 70: 0.5, 999: 0.5}
    for index, portion in wanted.items():
        step = Step(index, 1000)
        assert strategy.portion_at(step) == pytest.approx(portion)
        assert share_labelled(strategy, network, step) == pytest.approx(portion, abs=0.01)


def test_behind_the_last_step_no_round_begins() -> None:
    strategy, network = built()
    before = {name: value.clone() for name, value in strategy.state_dict().items()}

    def refuse() -> Any:
        raise AssertionError("the target was read for nothing")
        yield

    strategy.refresh(network, refuse(), Step(100, 100))
    assert all(torch.equal(value, before[name]) for name, value in strategy.state_dict().items())


def test_so_many_images_make_the_thresholds() -> None:
    pieces = target_batches("aabbcc")  # two windows of each
    alone, network = built(images=2)
    all_four, _ = built()
    with torch.no_grad():
        alone.refresh(network, pieces, Step(0, 100))
        all_four.refresh(network, pieces[:4], Step(0, 100))
        assert torch.equal(alone.thresholds, all_four.thresholds)
        all_four.refresh(network, pieces, Step(0, 100))
        assert not torch.equal(alone.thresholds, all_four.thresholds)


def test_without_an_image_on_any_rank_no_pixel_is_labelled() -> None:
    strategy, network = built()
    strategy.refresh(network, [], Step(0, 100))
    assert strategy.thresholds.tolist() == [1] * CLASSES


@pytest.mark.parametrize("regularizer", ["none", "lrent"])
def test_validation_judges_the_labels_that_training_would_give(regularizer: Any) -> None:
    strategy, network = built(regularizer=regularizer)
    step = Step(0, 100)
    terms(strategy, network, step)
    with torch.no_grad():
        said = strategy.labeller.eval()(batch()["target"]["image"]).softmax(dim=1)
    labelled = step.shared["pseudo_labels"] != 255
    assert torch.equal(strategy.pseudo_labels(said), step.shared["pseudo_labels"])
    assert torch.equal(step.shared["pseudo_weights"], labelled.float())
    assert 0 < labelled.float().mean() < 1


def test_it_tells_the_round_and_what_is_labelled() -> None:
    strategy, network = built(refresh_every=10)
    step = Step(25, 100)
    terms(strategy, network, step)
    labels = step.shared["pseudo_labels"]
    told = step.logged
    assert told["pseudo_labels/round"] == 2
    assert told["pseudo_labels/portion"] == pytest.approx(0.3)
    assert told["pseudo_labels/confident"] == pytest.approx((labels != 255).float().mean().item())
    agreed = network(batch()["target"]["image"]).argmax(dim=1) == labels
    assert told["pseudo_labels/agreement"] == pytest.approx((agreed.sum() / (labels != 255).sum()).item())
    for index, name in enumerate(strategy.classes):
        assert told[f"pseudo_labels/coverage/{name}"] == pytest.approx((labels == index).float().mean().item())
        assert told[f"pseudo_labels/threshold/{name}"] == strategy.thresholds[index]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("refresh_every", 0),
        ("portion", 0.0),
        ("portion", 1.5),
        ("portion_step", -0.1),
        ("portion_max", 0.0),
        ("regularizer", "kld"),
        ("images", 0),
        ("weight", -1.0),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"SelfTraining\.{setting} is '?{value}"):
        SelfTraining(**{setting: value})

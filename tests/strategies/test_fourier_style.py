"""Fourier style over other strategies: what the base sees, and the entropy term against the formula written out."""

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from datamodules.batch import Batch
from strategies import ClassMix, EntropyMinimization, FineTune, FourierStyle, Losses, Network, SourceOnly, Step
from strategies.components.fourier import fourier_style


def make_batch(sources: int = 2, targets: int = 2, size: tuple[int, int] = (32, 32)) -> Any:
    chance = torch.Generator().manual_seed(0)
    mask = torch.randint(0, 10, (sources, 32, 32), generator=chance)
    image = torch.rand(sources, 3, 32, 32, generator=chance)
    target = torch.rand(targets, 3, *size, generator=chance) * 0.5
    names = [f"street {number}" for number in range(sources)]
    return {
        "source": {"image": image, "mask": mask, "name": names},
        "target": {"image": target, "strong": 1 - target, "name": names},
    }


class Keeps(SourceOnly):
    """Keeps the batch it was given."""

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        self.seen = batch
        yield from super().losses(network, batch, step)


def terms(strategy: FourierStyle, batch: Any, network: Any = None) -> dict[str, Tensor]:
    network = network or tiny.make_segmenter(None).eval().network
    return {name: term for named in strategy.losses(network, batch, Step(0, 1)) for name, term in named.items()}


def test_the_base_sees_the_styled_source_and_all_the_rest_as_it_was() -> None:
    base, batch = Keeps(), make_batch()
    before = batch["source"]["image"].clone()
    terms(FourierStyle(base, beta=0.1), batch)
    seen: Any = base.seen
    for number in range(2):
        alone = fourier_style(before[number : number + 1], batch["target"]["image"][number : number + 1], 0.1)
        torch.testing.assert_close(seen["source"]["image"][number : number + 1], alone)
    assert (seen["source"]["image"] - before).abs().mean() > 0.1
    assert not seen["source"]["image"].requires_grad
    assert seen["source"]["mask"] is batch["source"]["mask"] and seen["source"]["name"] is batch["source"]["name"]
    assert seen["target"] is batch["target"]
    assert torch.equal(batch["source"]["image"], before), "the batch was changed in place"


@pytest.mark.parametrize(("sources", "targets"), [(3, 2), (2, 3)])
def test_every_source_image_has_a_partner_in_batches_of_different_length(sources: int, targets: int) -> None:
    base, batch = Keeps(), make_batch(sources, targets)
    terms(FourierStyle(base, beta=0.1), batch)
    partners = batch["target"]["image"][[0, 1, 0][:sources]] if targets == 2 else batch["target"]["image"][:2]
    found: Any = base.seen
    torch.testing.assert_close(found["source"]["image"], fourier_style(batch["source"]["image"], partners, 0.1))


def test_the_entropy_term_and_its_gradient_are_the_papers() -> None:
    network: Any = tiny.make_segmenter(None).eval().network
    batch = make_batch()
    found = terms(FourierStyle(entropy_weight=0.3), batch, network)
    assert set(found) == {"segmentation", "robust_entropy"}
    probabilities = network(batch["target"]["image"]).softmax(1)
    entropy = -(probabilities * (probabilities + 1e-30).log()).sum(1) / np.log(10)
    wanted = 0.3 * ((entropy**2 + 1e-8) ** 2).sum() / (2 * 32 * 32)
    torch.testing.assert_close(found["robust_entropy"], wanted)
    weight = network.segmentation_head[0].weight
    gradients = [torch.autograd.grad(term, weight)[0] for term in (found["robust_entropy"], wanted)]
    assert gradients[1].abs().max() > 1e-4
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-7)


def test_without_entropy_the_target_does_not_pass_through_the_network() -> None:
    network: Any = tiny.make_segmenter(None).eval().network
    passes: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, images: passes.append(images[0]))
    strategy, batch = FourierStyle(entropy_weight=0), make_batch()
    assert set(terms(strategy, batch, network)) == {"segmentation"}
    assert len(passes) == 1
    torch.testing.assert_close(
        passes[0], fourier_style(batch["source"]["image"], batch["target"]["image"], strategy.beta)
    )


def test_over_class_mix_styled_classes_are_pasted_into_the_image_of_that_style() -> None:
    segmenter = tiny.make_segmenter(FourierStyle(ClassMix(), beta=0.1, entropy_weight=0))
    strategy: Any = segmenter.strategy
    strategy.base.strong = torch.nn.Identity()
    batch = make_batch()
    passes: list[Tensor] = []
    segmenter.network.register_forward_pre_hook(lambda _, images: passes.append(images[0]))
    for _ in strategy.losses(segmenter.network, batch, Step(0, 1)):
        pass
    target = batch["target"]["image"]
    styled = fourier_style(batch["source"]["image"], target, 0.1)
    source, mixed = passes
    torch.testing.assert_close(source, styled)
    pasted = (mixed == styled).all(dim=1)
    assert 0.2 < pasted.float().mean() < 0.8
    assert torch.equal(mixed, torch.where(pasted[:, None], styled, target))


def test_streams_are_those_of_the_base_and_the_target() -> None:
    assert set(FourierStyle().required_streams) == {"source", "target"}
    over = FourierStyle(EntropyMinimization())
    assert sorted(over.required_streams) == ["source", "target"] and over.optional_streams == ("labelled_target",)
    assert set(FourierStyle(FineTune(also_source=True)).required_streams) == {"source", "target", "labelled_target"}
    assert over.name == "FourierStyle(EntropyMinimization)"


def test_the_terms_of_an_entropy_minimising_base_stay_apart() -> None:
    assert set(terms(FourierStyle(EntropyMinimization()), make_batch())) == {
        "segmentation", "entropy", "robust_entropy"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": 0}, r"FourierStyle\.beta is 0"),
        ({"beta": 0.6}, r"FourierStyle\.beta is 0\.6"),
        ({"entropy_weight": -1}, r"FourierStyle\.entropy_weight is -1"),
        ({"base": FineTune()}, r"its base FineTune does not need them"),
    ],
)
def test_bad_settings_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FourierStyle(**arguments)


def test_crops_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"source's crops are \(3, 32, 32\), the target's \(3, 32, 48\)"):
        terms(FourierStyle(), make_batch(size=(32, 48)))

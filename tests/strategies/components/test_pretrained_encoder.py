"""A frozen encoder stays what it was."""

from typing import Any

import tiny
import torch

from strategies.components.pretrained_encoder import PretrainedEncoder


def test_it_answers_as_the_network_did_when_it_was_copied() -> None:
    network: Any = tiny.make_segmenter(None).network
    network.set_normalisation([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    image = torch.rand(2, 3, 33, 44)
    network.train()(image)  # statistics that are not those of a new layer
    before = network.eval().features(image)[-1].detach()
    pretrained = PretrainedEncoder(network).train()
    network.set_normalisation([0.5] * 3, [0.5] * 3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    for _ in range(2):  # the first answer moves no statistics
        assert torch.equal(pretrained(image), before)
    assert not pretrained(image.requires_grad_()).requires_grad


def test_it_keeps_the_encoder_alone_and_nothing_of_it_trains() -> None:
    network: Any = tiny.make_segmenter(None).network
    kept = list(PretrainedEncoder(network).parameters())
    assert sum(p.numel() for p in kept) == sum(p.numel() for p in network.encoder.parameters())
    assert not any(p.requires_grad for p in kept)
    assert all(p.requires_grad for p in network.parameters())

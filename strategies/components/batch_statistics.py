"""BatchNorm's running statistics: which layers keep them, what holds them still, and how they are counted anew."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from strategies.base import Network
from strategies.components.ranks import sum_over_ranks


def batch_norms(network: Network | nn.Module) -> dict[str, _BatchNorm]:
    """Returns the BatchNorm layers that keep running statistics, by name."""
    return {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    }


@contextmanager
def statistics_held(network: Network) -> Iterator[None]:
    """Lets no forward move the running statistics: layers in training mode normalise by the batch as before.

    Args:
        network: the network.
    """
    layers = list(batch_norms(network).values())
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


@torch.no_grad()
def recompute_statistics(network: nn.Module, images: Iterable[Tensor]) -> None:
    """Sets the running statistics to mean and variance of what each layer is given, over all pixels of all images.

    While they are counted, each batch of images is normalised by its own mean and variance in every layer, as in
    training, so that neither the order nor the ranks change the result. Where a batch has one value a channel, behind
    a global pooling, and so no variance, the layer normalises by the statistics it had. Weights are not touched, and
    dropout is off. Layers that no image reaches keep their statistics.

    The variances are those of all pixels about the common mean, merged by Chan's formula: the mean of the images'
    variances, which ``momentum=None`` gives, misses what the images' means differ by.

    Args:
        network: the network.
        images: (B, C, H, W) float in [0, 1] each, of any sizes: this rank's, which may be none. All ranks call this.

    Raises:
        ValueError: if there is no image on any rank, or a layer saw a single value a channel in all of them.
    """
    layers = batch_norms(network)
    counted = [_Moments(layer) for layer in layers.values()]
    modes = {module: module.training for module in network.modules()}
    hooks = [layer.register_forward_pre_hook(one.add) for layer, one in zip(layers.values(), counted, strict=True)]
    try:
        # In eval mode: SyncBatchNorm would wait for ranks that have fewer images, and frozen layers go there anyway.
        network.eval()
        # A network that was compiled before would pass over the hooks.
        with torch.compiler.set_stance("force_eager"):
            for image in images:
                network(image)
    finally:
        for hook in hooks:
            hook.remove()
        for one in counted:
            one.give_back()
        for module, mode in modes.items():
            module.training = mode
    sizes = [one.mean.numel() for one in counted]
    device = counted[0].mean.device
    counts = sum_over_ranks(torch.tensor([one.count for one in counted], device=device)).tolist()
    if not any(counts):
        raise ValueError("BatchNorm's statistics cannot be counted: there is no image on any rank.")
    sums = sum_over_ranks(torch.cat([one.count * one.mean for one in counted]))
    means = [total / max(count, 1) for total, count in zip(torch.split(sums, sizes), counts, strict=True)]
    # About the common mean and not as E[x²] − E[x]², whose digits cancel in float32.
    spreads = [one.squares + one.count * (one.mean - mean).square() for one, mean in zip(counted, means, strict=True)]
    squares = torch.split(sum_over_ranks(torch.cat(spreads)), sizes)
    for (name, layer), count, mean, square in zip(layers.items(), counts, means, squares, strict=True):
        if count == 1:
            raise ValueError(f"{name} saw one value a channel in all images, which has no variance: give two images.")
        if count:
            assert layer.running_mean is not None and layer.running_var is not None, "batch_norms took only such"
            layer.running_mean.copy_(mean)
            layer.running_var.copy_(square / (count - 1))


class _Moments:
    """Count, mean and squared distances from it of what a layer is given; while it counts, the layer has its own.

    Args:
        layer: the layer.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        assert layer.running_mean is not None and layer.running_var is not None, "batch_norms took only such"
        self.layer = layer
        self.kept = (layer.running_mean, layer.running_var)
        self.count = 0
        self.mean = torch.zeros_like(layer.running_mean, dtype=torch.float32)
        self.squares = torch.zeros_like(self.mean)

    def add(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Adds a batch before the layer's forward, and has the layer normalise by it."""
        values = inputs[0].float()
        count = values.numel() // values.shape[1]
        variance, mean = torch.var_mean(values, dim=[0, *range(2, values.ndim)], correction=0)
        before, self.count = self.count, self.count + count
        offset = mean - self.mean
        self.mean += offset * (count / self.count)
        self.squares += count * variance + offset.square() * (before * count / self.count)
        # Tensors of the batch's own, so that the layer's are whole whatever happens.
        self._lend(mean, variance) if count > 1 else self.give_back()

    def give_back(self) -> None:
        """Gives the layer its own statistics back."""
        self.layer.running_mean, self.layer.running_var = self.kept

    def _lend(self, mean: Tensor, variance: Tensor) -> None:
        dtype = self.kept[0].dtype
        self.layer.running_mean, self.layer.running_var = mean.to(dtype), variance.to(dtype)

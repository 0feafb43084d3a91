"""The segmentation network: an smp encoder and decoder that take plain images of any size."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_app.network_spec import NetworkSpec, build_model
from strategies.base import Stage


class SegmentationNetwork(nn.Module):
    """Maps images in [0, 1] of any size to logits of the same size.

    The network normalises the images itself, with the mean and std that belong to the encoder's weights, so that
    callers only ever see plain images. It pads them at the bottom and on the right to a size that the architecture
    can take and crops the logits back. The padding repeats the last row and column: a band of constant colour
    would be an edge that no training image has.

    Args:
        spec: what to build. The weights are random: ``lightning_app.weights`` loads others.

    Attributes:
        spec: what was built.
        encoder: the encoder, from a padded, normalised image to its feature maps.
        decoder: the decoder, from feature maps to one map.
        segmentation_head: the layers from the decoder's map to logits.
        mean: (1, C, 1, 1) float32, subtracted from the image. 0.5 unless weights bring their own.
        std: (1, C, 1, 1) float32, divides the image after that. 0.5 unless weights bring their own.

    Raises:
        ValueError: for an architecture, encoder or option that does not exist or does not go with the others.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        model = build_model(spec)
        self.spec = spec
        self.encoder: nn.Module = model.encoder
        self.decoder: nn.Module = model.decoder
        self.segmentation_head: nn.Module = model.segmentation_head
        self.register_buffer("mean", torch.full((1, spec.in_channels, 1, 1), 0.5))
        self.register_buffer("std", torch.full((1, spec.in_channels, 1, 1), 0.5))
        self._is_dpt = isinstance(model, smp.DPT)
        self._divisor = _divisor(spec, model)
        self._minimum_size = _minimum_size(spec, model)

    def set_normalisation(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Sets the mean and std by which images are normalised.

        Args:
            mean: one value a channel, for images in [0, 1].
            std: one value a channel, above 0.

        Raises:
            ValueError: if there is not one value a channel or a std is not above 0.
        """
        channels = self.spec.in_channels
        if len(mean) != channels or len(std) != channels:
            raise ValueError(
                f"mean {list(mean)} and std {list(std)} must have one value for each of {channels} channels."
            )
        if min(std) <= 0:
            raise ValueError(f"std is {list(std)}; every value must be above 0.")
        self.mean.copy_(torch.tensor(mean).view(1, -1, 1, 1))
        self.std.copy_(torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Computes the logits of every pixel.

        Args:
            image: (B, C, H, W) float in [0, 1], any H and W.

        Returns:
            (B, classes, H, W) float.

        Raises:
            ValueError: if the image does not suit the network, or a batch of one image is too few to train with.
        """
        height, width = image.shape[-2:]
        return self.decode(self.features(image), (height, width))

    def features(self, image: Tensor) -> list[Tensor]:
        """Computes the encoder's maps of the normalised, padded image.

        Args:
            image: (B, C, H, W) float in [0, 1], any H and W.

        Returns:
            The maps (B, channels, h, w), the deepest last. A vision transformer's prefix tokens
            (B, tokens, channels), one entry a map, stand before the maps.

        Raises:
            ValueError: if the image does not suit the network, or a batch of one image is too few to train with.
        """
        padded = self._prepare(image)
        try:
            with self._explain_single_image():
                output = self.encoder(padded)
        except AssertionError as error:  # So timm refuses a size that a model of fixed size was not made for.
            raise ValueError(
                f"encoder {self.spec.encoder} cannot take an image of {padded.shape[-2]}x{padded.shape[-1]}: {error}. "
                "Crop or use windows of its own size, set img_size in the network's options, or choose another encoder."
            ) from error
        if self._is_dpt:
            maps, prefix_tokens = output
            return [*(tokens for tokens in prefix_tokens if tokens is not None), *maps]
        return list(output)

    def decode(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Computes the logits from the encoder's maps.

        Args:
            features: what ``features`` returned, or tensors of the same shapes in the same order.
            size: (H, W) of the image before padding.

        Returns:
            (B, classes, H, W) float.

        Raises:
            ValueError: if a batch of one image is too few to train with.
        """
        with self._explain_single_image():
            if self._is_dpt:
                maps = [feature for feature in features if feature.ndim == 4]
                tokens = [feature for feature in features if feature.ndim == 3]
                decoded = self.decoder(maps, tokens or [None] * len(maps))
            else:
                decoded = self.decoder(list(features))
            logits: Tensor = self.segmentation_head(decoded)
        return self.to_image_size(logits, size)

    def to_image_size(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Enlarges maps of the padded image to its size, and cuts the padding off.

        Args:
            maps: (B, C, h, w) that cover the padded image, such as logits of a coarse feature map.
            size: (H, W) of the image before padding.

        Returns:
            (B, C, H, W), pixel on pixel with the image.
        """
        padded = self._padded_size(size)
        if maps.shape[-2:] != padded:
            maps = functional.interpolate(maps, padded, mode="bilinear", align_corners=False)
        return maps[..., : size[0], : size[1]]

    def stages(self) -> list[Stage]:
        """Finds the encoder's stages: a stage's parameters are those that its map is the first to depend on.

        That is asked of autograd, so that it holds for every encoder, however its modules are called and nested.
        Parameters that no map depends on are counted to the deepest stage. Neither weights, statistics nor random
        numbers are touched.

        Returns:
            The stages that have parameters, from the image to the deepest map.
        """
        modes = {module: module.training for module in self.modules()}
        flags = {parameter: parameter.requires_grad for parameter in self.parameters()}
        left = {f"encoder.{name}": parameter for name, parameter in self.encoder.named_parameters()}
        found: list[Stage] = []
        try:
            self.eval().requires_grad_(True)
            with torch.inference_mode(False), torch.enable_grad():
                maps = [(index, one) for index, one in enumerate(self._trace()) if one.ndim == 4 and one.requires_grad]
                for index, one in maps:
                    gradients = torch.autograd.grad(
                        one.sum(), list(left.values()), allow_unused=True, retain_graph=True
                    )
                    names = [name for name, gradient in zip(left, gradients, strict=True) if gradient is not None]
                    if names:
                        found.append(Stage(index, one.shape[1], names))
                    left = {name: parameter for name, parameter in left.items() if name not in names}
                    if not left:
                        break
        finally:
            for module, mode in modes.items():
                module.training = mode
            for parameter, flag in flags.items():
                parameter.requires_grad = flag
        if not found:
            raise ValueError(f"encoder {self.spec.encoder} has no parameter that one of its feature maps depends on.")
        found[-1].parameters.extend(left)
        return found

    def _trace(self) -> list[Tensor]:
        """Runs the encoder on a small empty image, or on one of its own size if it takes no other."""
        sides = [64, self.spec.options.get("img_size"), _own_side(self.spec.encoder)]
        for side in (side for side in sides if side is not None):
            size = (side, side) if isinstance(side, int) else tuple(side)
            try:
                return self.features(self.mean.new_zeros(1, self.spec.in_channels, *size))
            except (ValueError, RuntimeError) as error:  # Not every encoder says it by its own assertion.
                refused = error
        raise refused

    def _prepare(self, image: Tensor) -> Tensor:
        if image.ndim != 4 or image.shape[1] != self.spec.in_channels:
            raise ValueError(
                f"image has shape {tuple(image.shape)}; the network takes (B, {self.spec.in_channels}, H, W). "
                "in_channels sets the number of channels."
            )
        if not image.is_floating_point():
            raise ValueError(f"image is {image.dtype}; the network takes float in [0, 1].")
        height, width = image.shape[-2:]
        padded_height, padded_width = self._padded_size((height, width))
        # Under true half precision the images come in float32 and the weights are not.
        normalised = ((image - self.mean) / self.std).to(self.mean.dtype)
        if (padded_height, padded_width) == (height, width):
            return normalised
        return functional.pad(normalised, (0, padded_width - width, 0, padded_height - height), mode="replicate")

    def _padded_size(self, size: tuple[int, int]) -> tuple[int, int]:
        height, width = (math.ceil(max(side, self._minimum_size) / self._divisor) * self._divisor for side in size)
        return height, width

    @contextmanager
    def _explain_single_image(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            if not str(error).startswith("Expected more than 1 value per channel"):
                raise
            raise ValueError(
                f"{self.spec.architecture} cannot train on a batch of one image of this size: BatchNorm would see a "
                "single value per channel. Set data.batch_size to 2 or more (per device)."
            ) from error


def _own_side(encoder: str) -> int | None:
    import timm

    config = timm.get_pretrained_cfg(encoder.removeprefix("tu-")) if encoder.startswith("tu-") else None
    return None if config is None else int(config.input_size[-1])


def _divisor(spec: NetworkSpec, model: smp.base.SegmentationModel) -> int:
    stride = int(model.encoder.output_stride)
    if not isinstance(model, smp.DPT):
        return stride
    if stride & (stride - 1):
        # https://github.com/qubvel-org/segmentation_models.pytorch/issues/1328
        raise ValueError(
            f"DPT cannot use encoder {spec.encoder}: its patches are {stride} pixels wide, and the decoder needs "
            "a power of two. Choose one with patches of 8, 16 or 32."
        )
    # The decoder resizes the maps to strides 4, 8, 16 … and adds them up: the coarsest must come out even.
    return int(max(stride, 2 ** (len(model.encoder.output_strides) + 1)))


def _minimum_size(spec: NetworkSpec, model: smp.base.SegmentationModel) -> int:
    if isinstance(model, smp.PAN):
        return 8 * int(model.encoder.output_stride)  # Its attention halves the deepest map three times.
    if spec.encoder.startswith("mit_"):
        return 32  # Its attention reduces the map of stride 4 by 8, also where the encoder's stride is smaller.
    return 1

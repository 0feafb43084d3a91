"""Training some parts of a network, and others later or never, under any other strategy."""

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import nn

from datamodules.batch import Batch
from strategies.adaptive_batch_norm import AdaptiveBatchNorm
from strategies.base import LearningRateScale, Losses, Network, ParameterGroup, Step, Strategy
from strategies.components.freezing import is_normalization, layers_with_statistics, parts, stand_still
from strategies.fine_tune import FineTune
from strategies.wrapper import Wrapper


class PartialFreezing(Wrapper):
    """Trains some parts of the network at once, and the others later or never, under any base.

    The parts are ``encoder.0`` (next to the image), ``encoder.1``, …, ``decoder`` and ``head``. What is frozen gets no
    gradient and costs no backward of its own, and its normalisation statistics stand still. What is thawed later is
    held back until then in the same way; under DDP nothing has to be wrapped again.

    Reference: Howard and Ruder, ULMFiT, ACL 2018, https://arxiv.org/abs/1801.06146 (thawing, decaying rates); Li et
    al., L2-SP, ICML 2018, https://arxiv.org/abs/1802.01483; Ben Zaken et al., BitFit, ACL 2022,
    https://arxiv.org/abs/2106.10199
    Costs: its base's, less the backward below the first part that trains, plus the pull of ``l2_sp``
    Differs from the papers: L2-SP pulls the head too, which here comes from the source like all the rest, and biases,
    scales and shifts, where the authors' code pulls weights alone; ``affine`` trains scales and shifts of normalisation
    where BitFit trains every bias.

    Args:
        base: how the trained parts learn; ``FineTune`` if None.
        train: what trains from the first step: names of parts (``encoder`` is all its stages), patterns of parameter
            names such as ``encoder.layer4.*``, or a share of the parts, in (0, 1], counted from the head.
        thaw: when the other parts follow: a number trains one more part each time so many steps have passed, from the
            head towards the image; a mapping gives parts or patterns a step of their own, of two that overlap the
            one that means fewer parameters counts, and what is left out stays frozen; None leaves all of them frozen.
        thaw_unit: what ``thaw`` counts: optimizer ``steps`` or ``epochs``.
        affine: train the scales and shifts of all normalisation layers from the first step, wherever they are.
        layer_decay: factor of the learning rate from each part to the next, from the head towards the image, in
            (0, 1].
        l2_sp: strength of the pull towards the weights at the start, ≥ 0: adds l2_sp / 2 · ‖w − w₀‖² over the trained
            parameters of the network, and takes their weight decay away. The authors' command has 0.1, and a decay of
            0.01 for a new head; 0 is none.

    Raises:
        ValueError: if a name fits no part and no parameter, a number is out of range, nothing is left to thaw, or
            the base's own parts would have to be frozen too.
    """

    def __init__(
        self,
        base: Strategy | None = None,
        train: Sequence[str] | float = ("decoder", "head"),
        thaw: int | Mapping[str, int] | None = None,
        thaw_unit: Literal["steps", "epochs"] = "steps",
        affine: bool = False,
        layer_decay: float = 1.0,
        l2_sp: float = 0.0,
    ) -> None:
        super().__init__(base or FineTune())
        for one in self.within():
            if isinstance(one, PartialFreezing):
                raise ValueError(f"{self.name} freezes twice: let one PartialFreezing name all the parts.")
            if isinstance(one, AdaptiveBatchNorm) and (one.statistics, one.affine) == ("per_domain", "separate"):
                raise ValueError(
                    f"{self.name}: the source's BatchNorm of AdaptiveBatchNorm is no part of the network, and would "
                    "not be frozen. Put it around: AdaptiveBatchNorm(PartialFreezing(…))."
                )
        if not isinstance(train, int | float) and not train and not affine:
            raise ValueError("PartialFreezing.train is empty: name at least one part, or set affine.")
        if thaw_unit not in ("steps", "epochs"):
            raise ValueError(f"PartialFreezing.thaw_unit is {thaw_unit!r}; it is steps or epochs.")
        if isinstance(train, int | float) and not 0 < train <= 1:
            raise ValueError(f"PartialFreezing.train is {train}; as a share of the parts it is in (0, 1].")
        times = thaw.values() if isinstance(thaw, Mapping) else [] if thaw is None else [thaw]
        if any(time < 1 for time in times):
            raise ValueError(f"PartialFreezing.thaw is {thaw}; {thaw_unit} are counted from 1.")
        if not 0 < layer_decay <= 1:
            raise ValueError(f"PartialFreezing.layer_decay is {layer_decay}; it is in (0, 1].")
        if l2_sp < 0:
            raise ValueError(f"PartialFreezing.l2_sp is {l2_sp}; give 0 or a positive number.")
        self.train_at_once = train
        self.thaw = thaw
        self.thaw_unit = thaw_unit
        self.affine = affine
        self.layer_decay = layer_decay
        self.l2_sp = l2_sp
        self.starting_weights = nn.ParameterList()

    def build(self, network: Network, classes: Sequence[str]) -> None:
        """Finds when each parameter and layer starts, freezes what never does, and keeps the starting weights."""
        super().build(network, classes)
        self._parts = parts(network)
        self._starts = self._find_starts()
        # Statistics go with the layer's place; scales and shifts may start earlier.
        self._still_until = {name: self._start_of(name) for name in layers_with_statistics(network)}
        if self.affine:
            for name, layer in network.named_modules():
                if is_normalization(layer):
                    self._starts |= {f"{name}.{own}": 0 for own, _ in layer.named_parameters(recurse=False)}
        for name, parameter in network.named_parameters():
            parameter.requires_grad &= self._starts[name] < math.inf
        if self.l2_sp:
            self._pulled = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
            of = dict(network.named_parameters())
            # Parameters and not buffers, which DDP would send around before every forward.
            self.starting_weights.extend(nn.Parameter(of[name].detach().clone(), False) for name in self._pulled)

    def losses(self, network: Network, batch: Batch, step: Step) -> Losses:
        """Yields the terms of the base, and the pull towards the starting weights."""
        yield from super().losses(network, batch, step)
        if self.l2_sp:
            of = dict(network.named_parameters())
            distances = [
                (of[name] - start).square().sum()
                for name, start in zip(self._pulled, self.starting_weights, strict=True)
                if self._starts[name] <= self._time(step)
            ]
            if distances:  # else everything is where it started
                yield {"l2_sp": self.l2_sp / 2 * torch.stack(distances).sum()}

    def parameter_groups(self, network: Network) -> list[ParameterGroup]:
        """Splits the groups of the base by part and by start."""
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        part_of = {name: part for part, own in self._parts.items() for name in own}
        decays = {part: self.layer_decay**place for place, part in enumerate(reversed(self._parts))}
        groups: list[ParameterGroup] = []
        for group in super().parameter_groups(network):
            split: dict[tuple[str, float], list[nn.Parameter]] = {}
            for parameter in group["params"]:
                name = names.get(id(parameter))
                key = ("", 0.0) if name is None else (part_of[name], self._starts[name])
                split.setdefault(key, []).append(parameter)
            for (part, start), parameters in split.items():
                if not part:  # the base's own
                    groups.append({**group, "params": parameters})
                    continue
                title = part if part.partition(".")[0] == group["name"] else f"{group['name']}.{part}"
                if len({self._starts[name] for name in self._parts[part]} - {math.inf}) > 1:
                    title += f".from_{start}"
                scale = self._scale(group.get("lr_scale", 1.0), decays[part], start)
                made: ParameterGroup = {**group, "name": title, "params": parameters, "lr_scale": scale}
                if self.l2_sp:
                    made["weight_decay"] = 0.0
                groups.append(made)
        return groups

    def train_mode(self, network: Network, step: Step) -> None:
        """Keeps the statistics of frozen layers, and of those whose turn has not come."""
        # The base has the last word: what it keeps in eval must not be let go here.
        for name, start in self._still_until.items():
            stand_still(network.get_submodule(name), start > self._time(step))
        super().train_mode(network, step)

    def _time(self, step: Step) -> int:
        return step.epoch if self.thaw_unit == "epochs" else step.index

    def _scale(self, base: LearningRateScale, decay: float, start: float) -> LearningRateScale:
        if start == 0 and not callable(base):
            return base * decay

        def scale(step: Step) -> float:
            if self._time(step) < start:
                return 0.0
            return (base(step) if callable(base) else base) * decay

        return scale

    def _find_starts(self) -> dict[str, float]:
        """Returns the step or epoch from which each parameter of the network trains; infinity is never."""
        starts = {name: math.inf for own in self._parts.values() for name in own}
        if isinstance(self.train_at_once, int | float):
            last = math.ceil(self.train_at_once * len(self._parts))
            at_once = [name for part in list(self._parts)[-last:] for name in self._parts[part]]
        else:
            at_once = [name for entry in self.train_at_once for name in self._named("train", entry)]
        starts |= dict.fromkeys(at_once, 0)
        waiting = {part: [n for n in own if starts[n] > 0] for part, own in reversed(self._parts.items())}
        waiting = {part: own for part, own in waiting.items() if own}
        if self.thaw is not None and not waiting:
            raise ValueError(
                f"PartialFreezing.thaw is {self.thaw}, but every part trains from the start: leave it out."
            )
        if isinstance(self.thaw, Mapping):
            later = {entry: [n for n in self._named("thaw", entry) if starts[n] > 0] for entry in self.thaw}
            for entry in sorted(later, key=lambda entry: -len(later[entry])):
                if not later[entry]:
                    raise ValueError(
                        f"PartialFreezing.thaw names '{entry}', which trains from the start: leave it out."
                    )
                starts |= dict.fromkeys(later[entry], self.thaw[entry])
        elif self.thaw is not None:
            for place, own in enumerate(waiting.values(), start=1):
                starts |= dict.fromkeys(own, place * self.thaw)
        return starts

    def _named(self, argument: str, entry: str) -> list[str]:
        """Returns the parameters that a part's name or a pattern means."""
        within = [name for part, own in self._parts.items() if f"{part}.".startswith(f"{entry}.") for name in own]
        found = within or [n for own in self._parts.values() for n in own if fnmatchcase(n, entry)]
        if not found:
            raise ValueError(
                f"PartialFreezing.{argument} names '{entry}', which is no part and fits no parameter. The parts are "
                f"{', '.join(self._parts)}; a pattern such as 'encoder.*.bn1.*' fits names of parameters."
            )
        return found

    def _start_of(self, layer: str) -> float:
        """Returns when a layer's own parameters start; one that has none goes with what surrounds it."""
        while layer:
            inside = [start for name, start in self._starts.items() if name.startswith(f"{layer}.")]
            if inside:
                return max(inside)
            layer = layer.rpartition(".")[0]
        return 0

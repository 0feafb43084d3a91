"""From a strategy's loss terms and parameter groups to an optimizer and its schedule."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from strategies.base import LearningRateScale, Network, ParameterGroup, Step


@dataclass(frozen=True)
class PolynomialDecay:
    """Learning rate factor: a linear warm-up, then (1 − progress)^power down to 0 after the last step of the decay.

    Attributes:
        power: exponent of the decay, ≥ 0; 1 is linear, 0 keeps the rate constant.
        warmup_steps: optimizer steps of the warm-up, ≥ 0.
        warmup_start: factor at the first warm-up step, in [0, 1].
        decay_steps: optimizer steps over which it falls, at least the run's, which it is by default; a larger number
            stops the run on the way.
    """

    power: float = 0.9
    warmup_steps: int = 0
    warmup_start: float = 1e-3
    decay_steps: int | None = None

    def __post_init__(self) -> None:
        """Refuses settings without a meaning."""
        if self.power < 0 or self.warmup_steps < 0 or not 0 <= self.warmup_start <= 1:
            raise ValueError(f"{self} has no meaning: power and warmup_steps are ≥ 0, warmup_start is in [0, 1].")

    def check(self, total: int) -> None:
        """Raises ValueError if a run of ``total`` steps would go on after the rate has fallen to 0."""
        if self.decay_steps is not None and self.decay_steps < total:
            raise ValueError(
                f"model.schedule.decay_steps is {self.decay_steps}, but the run has {total} steps, and would learn "
                "nothing after the decay: make it as many or more, or trainer.max_steps less."
            )

    def factor(self, step: int, total: int) -> float:
        """Returns the factor of the learning rate at a zero-based step of a run of ``total`` steps."""
        decay = float(max(0.0, 1 - step / max(1, self.decay_steps or total)) ** self.power)
        if step < self.warmup_steps:
            return decay * (self.warmup_start + (1 - self.warmup_start) * step / self.warmup_steps)
        return decay


def check_groups(groups: list[ParameterGroup], *owners: nn.Module) -> None:
    """Checks that the groups hold every trainable parameter exactly once.

    Args:
        groups: what a strategy returned.
        owners: the modules whose parameters are to be trained.

    Raises:
        ValueError: naming the parameters that are missing, repeated, frozen or foreign, or a name that two groups have.
    """
    names = {id(parameter): name for owner in owners for name, parameter in owner.named_parameters()}
    trainable = {id(parameter) for owner in owners for parameter in owner.parameters() if parameter.requires_grad}
    seen: dict[int, str] = {}
    titles = [group["name"] for group in groups]
    for title in titles:
        if titles.count(title) > 1:
            raise ValueError(
                f"parameter_groups: two groups are named '{title}', and would be one in the log; rename one."
            )
    for group in groups:
        for parameter in group["params"]:
            name = names.get(id(parameter), "a parameter of neither the network nor the strategy")
            if id(parameter) in seen:
                raise ValueError(
                    f"parameter_groups: {name} is in group '{seen[id(parameter)]}' and again in '{group['name']}'; "
                    "each parameter belongs to one group."
                )
            if id(parameter) not in trainable:
                raise ValueError(
                    f"parameter_groups: group '{group['name']}' holds {name}, which is not trained here: leave it out."
                )
            seen[id(parameter)] = group["name"]
    missing = [names[key] for key in trainable - seen.keys()]
    if missing:
        raise ValueError(
            f"parameter_groups leaves out {len(missing)} trainable parameters, such as {sorted(missing)[0]}; "
            "put each in a group, or freeze it in build."
        )
    if not seen:
        raise ValueError("parameter_groups is empty: nothing would be trained.")


def check_terms(terms: Mapping[str, Tensor], before: Mapping[str, Tensor], strategy: str) -> None:
    """Checks what a strategy's ``losses`` yielded.

    Args:
        terms: the terms, by name.
        before: those of the same step that were yielded before.
        strategy: its name, for errors.

    Raises:
        ValueError: if a name is reserved or comes twice, or a term is no scalar tensor.
    """
    for name, value in terms.items():
        if name in before or name == "total":
            raise ValueError(f"{strategy}.losses yields the term '{name}' twice or uses a reserved name; rename it.")
        if not isinstance(value, Tensor) or value.ndim != 0:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{strategy}.losses: the term '{name}' is {shape}, not a scalar tensor; reduce it.")


def scale_encoder(groups: Sequence[ParameterGroup], network: Network, scale: float) -> list[ParameterGroup]:
    """Multiplies the learning rate of the encoder's parameters.

    Args:
        groups: the checked groups. One that also holds other parts of the network is split. What a strategy put beside
            the encoder's parameters alone, such as copies of its BatchNorm for another domain, is scaled with them.
        network: the network.
        scale: the factor, > 0; at 1 the groups stay as they are.

    Returns:
        The groups, in the same order.
    """
    if scale == 1:
        return list(groups)
    own = {id(parameter) for parameter in network.encoder.parameters()}
    beside = {id(parameter) for _, parameter in network.named_parameters()} - own
    scaled: list[ParameterGroup] = []
    for group in groups:
        within = [parameter for parameter in group["params"] if id(parameter) in own]
        others = [parameter for parameter in group["params"] if id(parameter) not in own]
        if within and not any(id(parameter) in beside for parameter in others):
            within, others = group["params"], []
        if within:
            name = f"{group['name']}.encoder" if others else group["name"]
            scaled.append({**group, "name": name, "params": within, "lr_scale": _times(scale, group)})
        if others:
            scaled.append({**group, "params": others})
    return scaled


def _times(scale: float, group: ParameterGroup) -> LearningRateScale:
    before = group.get("lr_scale", 1.0)
    return (lambda step: scale * before(step)) if callable(before) else scale * before


def scale_at(group: ParameterGroup, step: Step) -> float:
    """Returns a group's factor of the learning rate in a step."""
    scale = group.get("lr_scale", 1.0)
    return scale(step) if callable(scale) else scale


def held_back(groups: Sequence[ParameterGroup], step: Step) -> list[nn.Parameter]:
    """Returns the parameters whose turn has not come: those of groups with a factor of 0 in this step."""
    return [parameter for group in groups if scale_at(group, step) == 0 for parameter in group["params"]]


@contextmanager
def without_gradients(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Computes no gradients for some parameters within the block.

    Afterwards they require gradients again: DDP registered them and waits for them in every backward.

    Args:
        parameters: parameters that require gradients.
    """
    try:
        for parameter in parameters:
            parameter.requires_grad = False
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad = True


def make_optimizer(
    groups: list[ParameterGroup],
    optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer],
    schedule: PolynomialDecay,
    total_steps: int,
    step_at: Callable[[int], Step],
) -> tuple[Optimizer, LambdaLR]:
    """Makes the optimizer, and the schedule in which each group's ``lr_scale`` is multiplied.

    Args:
        groups: the checked groups.
        optimizer: makes an optimizer from groups of parameters.
        schedule: the learning rate's course over the run.
        total_steps: optimizer steps of the whole run.
        step_at: makes the step of an index.

    Returns:
        The optimizer and a scheduler to be stepped after each optimizer step.

    Raises:
        ValueError: if the schedule ends before the run.
    """
    schedule.check(total_steps)
    plain: list[dict[str, Any]] = [
        {key: value for key, value in group.items() if key != "lr_scale"} for group in groups
    ]

    def factor(group: ParameterGroup) -> Callable[[int], float]:
        return lambda index: schedule.factor(index, total_steps) * scale_at(group, step_at(index))

    made = optimizer(plain)
    return made, LambdaLR(made, [factor(group) for group in groups])

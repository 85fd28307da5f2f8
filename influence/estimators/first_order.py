"""First-order influence: the empirical neural tangent kernel, as a preview and a check of fine-tuning."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from influence.estimators.protocol import Row, check_step_size
from influence.estimators.statements import check_statements, lessons
from influence.isolation import Isolation, select_parameters
from influence.models.protocol import collate
from influence.readout import Reader

HELD_BYTES = 2 * 2**30
"""Memory for the probes' gradients; more probes than fit are taken in turns."""

ADAM_EPS = 1e-8


def sgd_direction(gradient_D: Float[Tensor, " D"]) -> Float[Tensor, " D"]:
    """u(g) = g."""
    return gradient_D


def adam_direction(gradient_D: Float[Tensor, " D"]) -> Float[Tensor, " D"]:
    """u(g) = g / (|g| + eps), elementwise: Adam's first step from a fresh state, weight decay 0."""
    return gradient_D / (gradient_D.abs() + ADAM_EPS)


DIRECTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sgd": sgd_direction,
    "adam": adam_direction,
    "adamw": adam_direction,
}


@dataclass(frozen=True, kw_only=True)
class FirstOrder:
    """Gain of target j to first order in one optimiser step on probe i.

    M_ij = -lr u(g_i) . r_j, where g_i is the gradient of the probe's loss, u the optimiser's direction
    (`DIRECTIONS`) and r_j the gradient of the target's readout. For SGD and the readout `log_prob`, r_j = -g_j
    and M_ij = +lr g_i . g_j, the empirical neural tangent kernel (Matelsky et al. 2024, Eqs. 1 to 3, with the
    sign of the gain; Malladi et al. 2210.05643 for Adam).

    Args:
        optimizer: a key of `DIRECTIONS`.
        lr: learning rate; or
        self_gain: the median self-gain, nats, that the learning rate is to be searched for.
        statements: what of a probe of several statements is learned, a key of `STATEMENTS`; to first order a sequence
            is the sum of first steps on each.
        parameters: shell patterns of the parameter names to learn; None for all that require a gradient.

    Raises:
        ValueError: an unknown optimiser or way to learn statements, or not exactly one step size.
    """

    optimizer: str = "sgd"
    lr: float | None = None
    self_gain: float | None = None
    statements: str = "together"
    parameters: Sequence[str] | None = None
    name = "first_order"

    def __post_init__(self) -> None:
        check_step_size(self.lr, self.self_gain)
        check_statements(self.statements)
        if self.optimizer not in DIRECTIONS:
            raise ValueError(
                f"expected a first-order optimizer among {', '.join(DIRECTIONS)}, got {self.optimizer!r}; "
                "use the estimator finetune for others"
            )

    def describe(self) -> dict[str, Any]:
        """Name and settings, as saved beside a matrix."""
        return {"name": self.name, **asdict(self)}

    def with_lr(self, lr: float) -> Self:
        """The same estimator at that learning rate."""
        return replace(self, lr=lr, self_gain=None)

    def rows(self, model: nn.Module, probes: pd.DataFrame, targets: Reader, *, seed: int = 0) -> Iterator[Row]:
        """The first-order gains of each probe on every target; `seed` is not used.

        Held in memory: the directions of as many probes as `HELD_BYTES` allow; targets pass one by one.
        """
        parameters = select_parameters(model, self.parameters)
        isolation = Isolation(model)
        bytes_a_probe = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
        held = max(1, HELD_BYTES // bytes_a_probe)

        def read(batch: Any) -> Tensor:
            return targets.readout.read(model, batch).sum()

        for start in range(0, len(probes), held):
            group = [probes.iloc[[position]] for position in range(start, min(start + held, len(probes)))]
            with isolation.use(learn=parameters):
                steps_D = [self._step(model, probe, parameters) for probe in group]
                self_gain_P = [
                    float(step_D @ _gradient(read, collate(model, probe), parameters))
                    for step_D, probe in zip(steps_D, group, strict=True)
                ]
                gain_PT = np.empty((len(group), len(targets.before)))
                for target in range(len(targets.before)):
                    gradient_D = _gradient(read, collate(model, targets.samples.iloc[[target]]), parameters)
                    # One by one: the bits of a matrix product depend on how many probes share it.
                    gain_PT[:, target] = [float(step_D @ gradient_D) for step_D in steps_D]
            assert self.lr is not None
            for probe, gain_T, self_gain in zip(group, gain_PT, self_gain_P, strict=True):
                position = targets.position.get(probe["id"].iloc[0])
                yield Row(
                    gain_T=self.lr * gain_T,
                    self_gain=self.lr * float(self_gain if position is None else gain_T[position]),
                )

    def _step(self, model: Any, probe: pd.DataFrame, parameters: Sequence[nn.Parameter]) -> Float[Tensor, " D"]:
        """What a learning rate of 1 would add to the parameters."""

        def gain(batch: Any) -> Tensor:
            log_likelihood: Tensor = -model.loss(batch).sum()
            return log_likelihood

        batches = [collate(model, lesson) for lesson in lessons(probe, self.statements)]
        directions = [DIRECTIONS[self.optimizer](_gradient(gain, batch, parameters)) for batch in batches]
        return sum(directions[1:], start=directions[0])


def _gradient(function: Callable[[Any], Tensor], batch: Any, parameters: Sequence[nn.Parameter]) -> Float[Tensor, " D"]:
    gradients = torch.autograd.grad(function(batch), list(parameters), allow_unused=True)
    return torch.cat(
        [
            (torch.zeros_like(parameter) if gradient is None else gradient).flatten()
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ]
    )

"""First-order influence: the empirical neural tangent kernel, as a preview and a check of fine-tuning."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import pandas as pd
from jaxtyping import Float
from torch import Tensor, nn

from influence.engine.chunks import DEFAULT, Engine, halving
from influence.engine.low_rank import why_not
from influence.estimators import low_rank
from influence.estimators.protocol import Row, check_step_size, say_once
from influence.estimators.slopes import Direction, SampleSlopes, TextSlopes
from influence.estimators.statements import check_statements
from influence.isolation import select_parameters
from influence.models.causal_lm import CausalLM
from influence.readout import Reader

ADAM_EPS = 1e-8


def adam_direction(gradient: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """u(g) = g / (|g| + eps), elementwise: Adam's first step from a fresh state, weight decay 0."""
    return gradient / (gradient.abs() + ADAM_EPS)


DIRECTIONS: dict[str, Direction | None] = {"sgd": None, "adam": adam_direction, "adamw": adam_direction}
"""u by the optimiser's name; None for u(g) = g."""


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

        Products of gradients come from their factors in a language model, from gradients of many samples at once in
        other networks, and from gradients one by one where these cannot be had; the log says why.
        """
        assert self.lr is not None
        slopes, row_of, num_given = self._slopes(model, probes, targets), dict[int, Row](), 0
        for group, (slope_PT, own_P), halvings in halving(slopes.groups(), slopes.of):
            for probe, slope_T, own in zip(group, slope_PT, own_P, strict=True):
                row_of[probe] = Row(gain_T=self.lr * slope_T, self_gain=self.lr * float(own), halvings=halvings)
            while num_given in row_of:
                yield row_of.pop(num_given)
                num_given += 1

    def why_plain(self, model: CausalLM, engine: Engine = DEFAULT) -> str:
        """Why the gradients of a language model cannot be kept as factors; one clause, or ""."""
        unable = low_rank.why_plain(model, engine, self.parameters)
        return unable or why_not(model.network, optimizer=self.optimizer)

    def _slopes(self, model: nn.Module, probes: pd.DataFrame, targets: Reader) -> TextSlopes | SampleSlopes:
        if isinstance(model, CausalLM):
            why = self.why_plain(model, targets.engine)
            if not why:
                return TextSlopes(model, probes, targets, statements=self.statements)
            say_once(f"First order writes gradients out: {why}.")
        return SampleSlopes(
            model,
            probes,
            targets,
            statements=self.statements,
            direction=DIRECTIONS[self.optimizer],
            parameters=select_parameters(model, self.parameters),
        )

"""What a score is: a number for a desideratum, read from one influence matrix."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from influence.matrix import SELF_GAIN, InfluenceMatrix

Condition: TypeAlias = Mapping[str, int | float | str]
"""Arguments that a score is computed at, such as {"sigma": 0.5}; {} where it has none."""


class UndefinedError(Exception):
    """A score cannot be computed from this matrix; the message, one clause, says why."""


class NotApplicableError(UndefinedError):
    """A score is about samples of another kind; a table of all scores passes over it."""


@dataclass(frozen=True)
class Ratio:
    """Numerator and denominator of a score, kept apart because over units ratios of means are taken."""

    numerator: float
    denominator: float = 1.0

    @property
    def value(self) -> float:
        """The ratio within one unit, NaN over a zero denominator."""
        return self.numerator / self.denominator if self.denominator else math.nan


def unconditional(_units: Sequence[InfluenceMatrix]) -> list[Condition]:
    """The one condition of a score that takes no argument."""
    return [{}]


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What makes a score one that is judged.

    Attributes:
        threshold: c; its good side is the score's `better`.
        condition: that is judged, by the entries named here; at any other the score only describes.
        self_gain: median self-gain, nats, that the step size must give; a prompt has none and is always judged.
        num_steps: steps that a probe must be learned by.
        statements: how several statements must be learned.
        units: fewest of each kind that are judged.
        gate: the units to why nothing can be concluded from them, one clause, or "".
    """

    threshold: float
    condition: Condition = field(default_factory=dict)
    self_gain: float = SELF_GAIN
    num_steps: int = 1
    statements: str = "together"
    units: Mapping[str, int] = field(default_factory=lambda: {"worlds": 40, "seeds": 5})
    gate: Callable[[Sequence[InfluenceMatrix]], str] | None = None


@dataclass(frozen=True, kw_only=True)
class Score:
    """How one number is computed, tested and named.

    Attributes:
        name: of the score, a valid file name.
        desideratum: the wanted property it speaks about.
        unit: of the value; `{readout}` stands for the unit of the readout, 1 for a pure number.
        better: the good side, None where there is none.
        criterion: what it is judged by; None for a diagnostic.
        measure: matrix of one unit, or every world's, and a condition's arguments to the score; raises
            UndefinedError.
        null: value when there is no effect, so that numerator - null * denominator is as likely positive as
            negative in a unit; None where no such value is known, and over units no p-value is given.
        test: matrix, generator and a condition's arguments to a p-value within one matrix; None where there
            is no such test. Called only where the score is defined.
        conditions: the arguments to compute the score at, given the units; never empty.
        smooth: whether leaving out one source changes the value little by little; an order statistic jumps, and
            has no jackknife interval.
        margin: distance from `null` that still counts as no effect, for the test of equivalence; or None.
        of_all_worlds: `measure` takes the matrices of all worlds, each as an argument, not world by world.
    """

    name: str
    desideratum: str
    unit: str = "1"
    better: Literal["higher", "lower"] | None = None
    criterion: Criterion | None = None
    measure: Callable[..., Ratio | float]
    null: float | None = None
    test: Callable[..., float] | None = None
    conditions: Callable[[Sequence[InfluenceMatrix]], Sequence[Condition]] = unconditional
    smooth: bool = True
    margin: float | None = None
    of_all_worlds: bool = False

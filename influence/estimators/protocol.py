"""What an estimator is: rows of gains, one a probe."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float64
from torch import nn

from influence.arrays import Array
from influence.readout import Reader

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class Row:
    """Gains of every target after learning one probe.

    Attributes:
        gain_T: readout after minus before; NaN if the probe failed.
        self_gain: gain of the probe on itself.
        failure: why the probe failed, or "".
        halvings: how often its chunk was halved because a CUDA device had too little memory.
    """

    gain_T: Float64[Array, " T"]
    self_gain: float
    failure: str = ""
    halvings: int = 0

    @classmethod
    def failed(cls, num_targets: int, failure: str) -> Self:
        """A row without numbers, and why."""
        return cls(gain_T=np.full(num_targets, np.nan), self_gain=np.nan, failure=failure)

    def checked(self) -> Self:
        """The row, or a failed one where a readout is not finite."""
        if self.failure or (np.isfinite(self.gain_T).all() and np.isfinite(self.self_gain)):
            return self
        return self.failed(len(self.gain_T), "diverged: a readout is not finite; lower the step size")


def diverged(step: int, loss: float) -> str:
    """Why learning a probe failed: the loss before a step, counted from 1, is not finite."""
    return f"diverged at step {step}: the loss is {loss}; lower the step size"


@runtime_checkable
class Estimator(Protocol):
    """A way to obtain the influence of a probe.

    `rows` is the seam for speed: an estimator may compute many probes at once, as long as it yields one row a
    probe, in order, and leaves the model as it found it whenever it yields.
    """

    name: str

    @property
    def lr(self) -> float | None:
        """Learning rate, or None where it is to be searched."""
        ...

    @property
    def self_gain(self) -> float | None:
        """Median self-gain to search the learning rate for, nats, or None."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Name and settings, as saved beside a matrix."""
        ...

    def with_lr(self, lr: float) -> Self:
        """The same estimator at that learning rate."""
        ...

    def rows(self, model: nn.Module, probes: pd.DataFrame, targets: Reader, *, seed: int = 0) -> Iterator[Row]:
        """Learn each probe alone from the base weights and read every target."""
        ...


@cache
def say_once(message: str) -> None:
    """Log it, the first time in this process: `rows` is called for every block."""
    log.info(message)


def check_step_size(lr: float | None, self_gain: float | None) -> None:
    """Refuse a step size given twice, not at all, or out of range.

    Raises:
        ValueError: exactly one of the two must be a number; lr >= 0 and finite, self_gain > 0.
    """
    if (lr is None) == (self_gain is None):
        raise ValueError(
            f"expected either lr or self_gain, got lr={lr} and self_gain={self_gain}; set one and leave the other null"
        )
    if lr is not None and not 0 <= lr < float("inf"):
        raise ValueError(f"expected lr to be a finite number of at least 0, got {lr}")
    if self_gain is not None and not 0 < self_gain < float("inf"):
        raise ValueError(f"expected self_gain to be a positive number of nats, got {self_gain}")

"""The step size: the learning rate at which probes teach themselves a wanted amount."""

import logging
import math
import sys
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from torch import nn

from influence.arrays import Array
from influence.engine.chunks import DEFAULT, Engine
from influence.estimators.first_order import DIRECTIONS, FirstOrder
from influence.estimators.protocol import Estimator
from influence.readout import Reader, find
from influence.samples import sets_step_size

log = logging.getLogger(__name__)

TOLERANCE = math.log(1.05)
"""Distance of the log of the median self-gain from that of the wanted one at which the search stops: 5 %."""

MAX_PROBES = 100
"""More clean probes than this are thinned evenly: the median needs no more."""

MAX_EVALUATIONS = 60

FLAT, MAX_FLAT = 0.01, 3
"""Doublings in a row that change the median self-gain by no more than this (log): it has reached what it can."""

MAX_CHECKED = 10
"""Probes on which the self-gain of a given learning rate is read where the matrix itself does not tell it."""


@dataclass(frozen=True, kw_only=True)
class StepSize:
    """A learning rate and the self-gains it gives, in nats, over the clean probes."""

    lr: float
    median: float
    low: float
    high: float
    num_probes: int

    def describe(self) -> dict[str, Any]:
        """What is saved beside a matrix."""
        return asdict(self)


def clean_probes(probes: pd.DataFrame, *, at_most: int = MAX_PROBES) -> pd.DataFrame:
    """The probes whose median self-gain sets the step size, thinned evenly."""
    probes = probes[sets_step_size(probes)]
    if len(probes) == 0:
        raise ValueError(
            "expected clean probes (sigma 0) of one statement to search the step size on, got none; set estimator.lr"
        )
    kept = np.unique(np.linspace(0, len(probes) - 1, min(len(probes), at_most)).round().astype(int))
    return probes.iloc[kept]


def find_step_size(
    model: nn.Module,
    probes: pd.DataFrame,
    estimator: Estimator,
    *,
    seed: int = 0,
    engine: Engine = DEFAULT,
) -> StepSize:
    """The smallest learning rate whose median self-gain is `estimator.self_gain` within `TOLERANCE`.

    The gain is read as `log_prob` whatever the readout of the matrix. The first-order value
    lr = self_gain / median_i(u(g_i) . g_i num_steps) is the start; from an eighth of it the rate doubles until
    the median self-gain is reached, which keeps to the smallest root, then the bracket is narrowed in
    log lr against log self-gain.

    Args:
        model: the base model; it is left as it was.
        probes: candidates; see `clean_probes`.
        estimator: one with `self_gain` set.
        seed: of the fine-tuning.
        engine: how gains are computed.

    Raises:
        ValueError: no learning rate reaches the self-gain before the median falls or diverges.
    """
    assert estimator.self_gain is not None
    target, chosen = estimator.self_gain, clean_probes(probes)
    tried: list[tuple[float, Array]] = []

    def excess(lr: float) -> float:
        """Log of the median self-gain over the target; far below 0 where the median probe fails or unlearns."""
        if len(tried) == MAX_EVALUATIONS:
            raise ValueError(_unreachable(target, dict(tried)))
        gains = self_gains(model, chosen, estimator.with_lr(lr), seed=seed, engine=engine)
        tried.append((lr, gains))
        median = _median(gains)
        log.info("Step size: lr %.3g gives a median self-gain of %.3g nats.", lr, median)
        return math.log(max(median, sys.float_info.min) / target)

    low_lr = first_order_lr(model, chosen, estimator, seed=seed, engine=engine) / 8
    while (low := excess(low_lr)) > 0:
        low_lr /= 8
    best, num_flat = low, 0
    while True:
        high_lr = 2 * low_lr
        high = excess(high_lr)
        if high >= -TOLERANCE:
            break
        # Of numbers that round to none the gain is flat too, but not above 0.
        num_flat = num_flat + 1 if best - FLAT < high < best + FLAT and _median(tried[-1][1]) > 0 else 0
        best = max(best, high)
        if high < best - math.log(2) or num_flat == MAX_FLAT:
            raise ValueError(_unreachable(target, dict(tried)))
        low_lr, low = high_lr, high
    while high > TOLERANCE:
        share = min(max(low / (low - high), 0.1), 0.9)
        middle_lr = low_lr * (high_lr / low_lr) ** share
        middle = excess(middle_lr)
        if middle < -TOLERANCE:
            low_lr, low = middle_lr, middle
        else:
            high_lr, high = middle_lr, middle
    return _step_size(high_lr, dict(tried)[high_lr])


def check_step_size(
    model: nn.Module, probes: pd.DataFrame, estimator: Estimator, *, seed: int = 0, engine: Engine = DEFAULT
) -> StepSize | None:
    """What the learning rate of an estimator gives, nats of `log_prob`, over a few of the clean probes.

    None where the median one fails: that is a result too, but one without a median.

    Raises:
        ValueError: there are none.
    """
    gains = self_gains(model, clean_probes(probes, at_most=MAX_CHECKED), estimator, seed=seed, engine=engine)
    return _step_size(estimator.describe()["lr"], gains) if math.isfinite(_median(gains)) else None


def self_gains(
    model: nn.Module, probes: pd.DataFrame, estimator: Estimator, *, seed: int = 0, engine: Engine = DEFAULT
) -> Float64[Array, " P"]:
    """Gain of each probe on itself, nats of `log_prob`; NaN where it fails."""
    readout = find("log_prob", model)
    nothing = Reader(model, probes.iloc[:0], readout, batch_size=1, engine=engine)
    return np.array([row.self_gain for row in estimator.rows(model, probes, nothing, seed=seed)])


def first_order_lr(
    model: nn.Module, probes: pd.DataFrame, estimator: Estimator, *, seed: int = 0, engine: Engine = DEFAULT
) -> float:
    """The learning rate that the first-order formula gives for the wanted self-gain."""
    settings = estimator.describe()
    optimizer = settings["optimizer"] if settings["optimizer"] in DIRECTIONS else "adam"
    linear = FirstOrder(optimizer=optimizer, lr=1.0, parameters=settings["parameters"])
    median = float(np.median(self_gains(model, probes, linear, seed=seed, engine=engine)))
    slope = median * max(1, settings.get("num_steps", 1))
    if not 0 < slope < math.inf:
        raise ValueError(
            f"expected probes that the model can learn from, got a median squared gradient of {slope}; "
            "set estimator.lr, or choose other probes or parameters"
        )
    assert estimator.self_gain is not None
    return float(estimator.self_gain / slope)


def _step_size(lr: float, gains_P: Float64[Array, " P"]) -> StepSize:
    return StepSize(
        lr=lr,
        median=_median(gains_P),
        low=float(np.nanmin(gains_P)),
        high=float(np.nanmax(gains_P)),
        num_probes=len(gains_P),
    )


def _median(gains_P: Float64[Array, " P"]) -> float:
    """Median with failed probes counted as the lowest."""
    return float(np.median(np.nan_to_num(gains_P, nan=-math.inf)))


def _unreachable(target: float, tried: dict[float, Array]) -> str:
    medians = {lr: _median(gains) for lr, gains in tried.items()}
    best = max(medians, key=lambda lr: medians[lr])
    return (
        f"expected a learning rate with a median self-gain of {target:g} nats, got at most {medians[best]:.3g} "
        f"(at lr {best:.3g}) of {len(tried)} tried; lower estimator.self_gain or set estimator.lr"
    )

"""The plateau of learning rates: where a matrix keeps its shape (Matelsky et al. 2024, 3.4)."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Bool
from scipy.stats import spearmanr

from influence.arrays import Array
from influence.matrix import InfluenceMatrix
from influence.samples import sets_step_size

MIN_CORRELATION = 0.95
"""Spearman correlation that neighbouring matrices must reach."""

MIN_SIGNAL = 10.0
"""Times the noise floor that the median self-gain must exceed."""


def plateau(matrices: Sequence[InfluenceMatrix]) -> pd.DataFrame:
    """Which of several learning rates lie on the plateau, for matrices that differ in it alone.

    A learning rate is on the plateau if its median self-gain, of clean probes of one statement, exceeds `MIN_SIGNAL`
    times the noise floor and the Spearman correlation of its off-diagonal gains with those of both neighbours is at
    least `MIN_CORRELATION` (of the one neighbour, at an end of the grid). The middle of the longest run of such rates
    is chosen, the lower of two middles; none found is a result.

    Returns:
        One row a learning rate, in rising order: `lr`; `median_self_gain` with `low` and `high`, its quartiles;
        `correlation_with_next`, NaN at the last; `noise_floor`; `failed` probes; `on_plateau`; `chosen`.

    Raises:
        ValueError: fewer than two matrices, or the same learning rate twice.
    """
    matrices = sorted(matrices, key=lambda matrix: matrix.estimator["lr"])
    rates = [matrix.estimator["lr"] for matrix in matrices]
    if len(set(rates)) < 2 or len(set(rates)) < len(rates):
        raise ValueError(f"expected matrices at two or more different learning rates, got {rates}; widen the sweep")
    correlations = np.array([_correlation(one, next) for one, next in pairwise(matrices)])
    self_gains = [matrix.self_gain[sets_step_size(matrix.probes)] for matrix in matrices]
    median = np.array([_quantile(gains, 0.5) for gains in self_gains])
    floor = np.array([matrix.provenance["noise_floor"] for matrix in matrices])
    lowest_neighbour = np.fmin(np.append(np.nan, correlations), np.append(correlations, np.nan))
    on_plateau = (median > MIN_SIGNAL * floor) & (lowest_neighbour >= MIN_CORRELATION)
    chosen = np.zeros(len(rates), bool)
    if on_plateau.any():
        start, stop = longest_run(on_plateau)
        chosen[(start + stop - 1) // 2] = True
    return pd.DataFrame(
        {
            "lr": rates,
            "median_self_gain": median,
            "low": [_quantile(gains, 0.25) for gains in self_gains],
            "high": [_quantile(gains, 0.75) for gains in self_gains],
            "correlation_with_next": np.append(correlations, np.nan),
            "noise_floor": floor,
            "failed": [len(matrix.failures) for matrix in matrices],
            "on_plateau": on_plateau,
            "chosen": chosen,
        }
    )


def longest_run(on: Bool[Array, " N"]) -> tuple[int, int]:
    """Start and stop of the first longest run of True.

    >>> longest_run(np.array([True, False, True, True]))
    (2, 4)
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(int)))
    starts, stops = edges[::2], edges[1::2]
    longest = int(np.argmax(stops - starts))
    return int(starts[longest]), int(stops[longest])


def _correlation(one: InfluenceMatrix, other: InfluenceMatrix) -> float:
    """Spearman correlation of the off-diagonal gains that both matrices have; NaN where there are too few."""
    itself_PT = one.probes["id"].to_numpy()[:, None] == one.targets["id"].to_numpy()
    both_PT = np.isfinite(one.gain) & np.isfinite(other.gain) & ~itself_PT
    if both_PT.sum() < 3 or np.ptp(one.gain[both_PT]) == 0 or np.ptp(other.gain[both_PT]) == 0:
        return float("nan")
    return float(spearmanr(one.gain[both_PT], other.gain[both_PT]).statistic)


def _quantile(gains: Array, quantile: float) -> float:
    """Quantile with failed probes counted as the lowest: a rate at which half of them diverge has no median."""
    if not len(gains):
        return float("nan")
    value = float(np.quantile(np.nan_to_num(gains, nan=-np.inf), quantile, method="lower"))
    return value if np.isfinite(value) else float("nan")

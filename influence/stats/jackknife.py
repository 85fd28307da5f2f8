"""Delete-one-source jackknife intervals: how far a score hangs on the samples of one matrix.

The cells of a matrix share rows and columns, so they are no independent units; a source (an image with all
its noisy copies) is, and leaves as probe and as target at once.
"""

import numpy as np
from jaxtyping import Float64
from scipy import stats

from influence.arrays import Array
from influence.stats.interval import CONFIDENCE, UNDEFINED, Interval


def jackknife_interval(value: float, without_S: Float64[Array, " S"]) -> Interval:
    """The interval value +- t(S - 1) se, se^2 = (S - 1)/S sum_s (without_s - mean(without))^2.

    For the mean of S numbers this is Student's interval (Efron and Stein 1981). Of a matrix it allows for effects of
    rows and columns; where there are none, it is up to the square root of 2 too wide, since a cell leaves twice.

    Args:
        value: the score with all S sources.
        without_S: the score with each source left out in turn.

    Raises:
        ValueError: there are fewer than 2 sources.
    """
    count = len(without_S)
    if count < 2:
        raise ValueError(f"expected at least 2 sources for an interval, got {count}; measure more samples")
    error = np.sqrt((count - 1) * without_S.var())
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * error)
    return Interval(value, value - half, value + half)


def jackknife_ratio_interval(
    numerator: float,
    denominator: float,
    numerator_S: Float64[Array, " S"],
    denominator_S: Float64[Array, " S"],
) -> Interval:
    """The interval of numerator / denominator from the ratios with each source left out.

    Returns:
        `UNDEFINED` when the interval of the denominator touches zero.
    """
    if jackknife_interval(denominator, denominator_S).touches_zero() or (denominator_S == 0).any():
        return UNDEFINED
    return jackknife_interval(numerator / denominator, numerator_S / denominator_S)

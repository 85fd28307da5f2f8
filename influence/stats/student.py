"""Student-t intervals over independent units: worlds of a domain, or seeds of a base model."""

import numpy as np
from jaxtyping import Float64
from scipy import stats

from influence.arrays import Array
from influence.stats.interval import CONFIDENCE, UNDEFINED, Interval


def mean_interval(value_W: Float64[Array, " W"]) -> Interval:
    """The mean of n units and its interval, mean +- t(n - 1) s / sqrt(n).

    Args:
        value_W: one number a unit, in any unit of measurement; s is their standard deviation (n - 1).

    Raises:
        ValueError: there are fewer than 2 units.

    >>> mean_interval(np.array([1.0, 2.0, 3.0]))
    Interval(value=2.0, low=-0.484..., high=4.484...)
    """
    return _around(float(value_W.mean()), value_W)


def ratio_interval(numerator_W: Float64[Array, " W"], denominator_W: Float64[Array, " W"]) -> Interval:
    """The ratio of means R = mean(N) / mean(D) over n units, its interval by linearisation.

    R +- t(n - 1) s_u / sqrt(n) with u_w = (N_w - R D_w) / mean(D), the first-order effect of unit w on R
    (the delta method; Cochran, Sampling Techniques, 1977, section 6.4). A mean of ratios would be ruled by
    the units whose denominator is near zero.

    Args:
        numerator_W: N, one number a unit.
        denominator_W: D, one number a unit.

    Returns:
        `UNDEFINED` when the 95 % interval of mean(D) touches zero.

    Raises:
        ValueError: there are fewer than 2 units.
    """
    denominator = mean_interval(denominator_W)
    if denominator.touches_zero():
        return UNDEFINED
    ratio = float(numerator_W.mean()) / denominator.value
    return _around(ratio, (numerator_W - ratio * denominator_W) / denominator.value)


def _around(center: float, influence_W: Float64[Array, " W"]) -> Interval:
    count = len(influence_W)
    if count < 2:
        raise ValueError(f"expected at least 2 units for an interval, got {count}; measure more worlds or seeds")
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)
    half = float(quantile * influence_W.std(ddof=1) / np.sqrt(count))
    return Interval(center, center - half, center + half)

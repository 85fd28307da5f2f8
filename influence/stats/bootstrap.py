"""Bootstrap intervals over units, beside Student's where the units are many and may be skewed."""

import numpy as np
from jaxtyping import Float64
from scipy import stats

from influence.arrays import Array
from influence.stats.interval import CONFIDENCE, UNDEFINED, Interval

MIN_UNITS = 40
"""With fewer units the interval covers less than Student's."""


def bootstrap_ratio_interval(
    numerator_W: Float64[Array, " W"], denominator_W: Float64[Array, " W"], generator: np.random.Generator
) -> Interval:
    """BCa interval of mean(N) / mean(D), units drawn with replacement 9,999 times (Efron 1987).

    Returns:
        `UNDEFINED` with fewer than 40 units, or where they do not differ.
    """
    if len(numerator_W) < MIN_UNITS or (np.ptp(numerator_W) == 0 and np.ptp(denominator_W) == 0):
        return UNDEFINED
    result = stats.bootstrap(
        (numerator_W, denominator_W),
        lambda numerator, denominator, axis: numerator.mean(axis) / denominator.mean(axis),
        paired=True,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="BCa",
        rng=generator,
    ).confidence_interval
    return Interval(float(numerator_W.mean() / denominator_W.mean()), float(result.low), float(result.high))

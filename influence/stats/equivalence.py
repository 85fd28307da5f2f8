"""Two one-sided tests: is an effect smaller than a margin, which a large p-value does not show."""

import numpy as np
from jaxtyping import Float64
from statsmodels.stats.weightstats import DescrStatsW

from influence.arrays import Array


def equivalence_p(value_W: Float64[Array, " W"], *, center: float, margin: float) -> float:
    """p-value of "the mean lies outside center +- margin": the larger of two one-sided t-tests (Schuirmann 1987).

    Below .05 exactly where the 90 % Student-t interval of the mean lies inside. NaN where there is no spread to
    test with.

    Args:
        value_W: one number a unit.
        center: the value of no effect.
        margin: distance from it that still counts as none, in the unit of the values.
    """
    if len(value_W) < 2 or np.ptp(value_W) == 0:
        return float("nan")
    p, _, _ = DescrStatsW(value_W).ttost_mean(center - margin, center + margin)
    return float(p)

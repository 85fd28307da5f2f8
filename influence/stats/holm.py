"""Holm's correction of p-values that are read together."""

import numpy as np
from jaxtyping import Float64

from influence.arrays import Array


def holm(p_M: Float64[Array, " M"]) -> Float64[Array, " M"]:
    """Corrected p-values: in rising order, the running maximum of (M - rank) p, rank from 0, at most 1 (Holm 1979).

    statsmodels' `multipletests` gives the same numbers, but collects garbage in each call: seconds, with torch loaded.
    """
    order = np.argsort(p_M, kind="stable")
    corrected_M = np.empty(len(p_M))
    corrected_M[order] = np.minimum(np.maximum.accumulate(np.arange(len(p_M), 0, -1) * p_M[order]), 1.0)
    return corrected_M

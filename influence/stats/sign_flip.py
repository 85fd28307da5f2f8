"""Sign-flip tests: contrasts that are as likely to be of either sign when there is no effect."""

from typing import Literal

import numpy as np
from jaxtyping import Float64
from scipy import stats

from influence.arrays import Array
from influence.stats.permutation import DRAWS


def sign_flip_p(
    contrast_W: Float64[Array, " W"],
    generator: np.random.Generator,
    *,
    alternative: Literal["two-sided", "greater", "less"] = "two-sided",
) -> float:
    """p-value of sum(contrast) among the sums of all +-contrast.

    All 2^n sign patterns up to n = 13, else 9,999 random ones with p = (1 + #{T* >= T}) / (1 + 9999); of two sides
    twice the smaller, at most 1 (Fisher 1935).

    Args:
        contrast_W: one number a unit (world, seed or source), symmetric about 0 under the null.
        generator: of the random signs.
        alternative: the side that is tested: the sum is above 0, below 0, or either.
    """
    if len(contrast_W) == 1:  # SciPy wants two observations
        extreme = {"greater": contrast_W[0] > 0, "less": contrast_W[0] < 0, "two-sided": False}[alternative]
        return 0.5 if extreme else 1.0
    test = stats.permutation_test(
        (contrast_W,),
        lambda contrast, axis: contrast.sum(axis=axis),
        permutation_type="samples",
        n_resamples=DRAWS,
        vectorized=True,
        alternative=alternative,
        rng=generator,
    )
    return float(test.pvalue)

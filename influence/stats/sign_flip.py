"""Sign-flip tests: contrasts that are as likely to be of either sign when there is no effect."""

import numpy as np
from jaxtyping import Float64
from scipy import stats

from influence.arrays import Array
from influence.stats.permutation import DRAWS


def sign_flip_p(contrast_W: Float64[Array, " W"], generator: np.random.Generator) -> float:
    """Two-sided p-value of sum(contrast) among the sums of all +-contrast.

    All 2^n sign patterns up to n = 13, else 9,999 random ones with p = (1 + #{T* >= T}) / (1 + 9999); twice
    the smaller side, at most 1 (Fisher 1935).

    Args:
        contrast_W: one number a unit (world, seed or source), symmetric about 0 under the null.
        generator: of the random signs.
    """
    if len(contrast_W) == 1:  # both patterns are as extreme, and SciPy wants two observations
        return 1.0
    test = stats.permutation_test(
        (contrast_W,),
        lambda contrast, axis: contrast.sum(axis=axis),
        permutation_type="samples",
        n_resamples=DRAWS,
        vectorized=True,
        rng=generator,
    )
    return float(test.pvalue)

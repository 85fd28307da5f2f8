"""Noise invariance: what noise changes systematically about what a sample teaches."""

import numpy as np

from influence.arrays import Array
from influence.desiderata.cells import CLEAN, common_sources, copies, noise_levels, source
from influence.desiderata.spec import Condition, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix
from influence.samples import is_clean
from influence.stats.sign_flip import sign_flip_p


def invariance(matrix: InfluenceMatrix, **noise: float | str) -> Ratio:
    """INV = <D1, D2> / |M_0|^2, D_k = M_sigma^(k) - M_0: rows noisy (draw k), columns clean, all labels.

    The two draws are independent, so the product is unbiased for the square of what noise changes on average;
    |D|^2 of one draw would count the draw's own randomness. 0 when noise changes nothing systematically, 1 when
    it takes everything away.

    Args:
        matrix: with `sigma`, `draw` and `source` of the probes; draws 0 and 1 of each source are probes.
        noise: `sigma=1.0` of images or `noise="typos"` of texts.

    Returns:
        Both sums over the cells of different sources, in the squared unit of the readout.

    Raises:
        UndefinedError: a column or the second draw is missing.
    """
    product_ST, square_ST = _products(matrix, noise)
    return Ratio(float(product_ST.sum()), float(square_ST.sum()))


def invariance_p(matrix: InfluenceMatrix, generator: np.random.Generator, **noise: float | str) -> float:
    """p-value of "noise changes nothing systematically": <D1, D2> of each source has either sign."""
    return sign_flip_p(_products(matrix, noise)[0].sum(1), generator)


def _products(matrix: InfluenceMatrix, noise: Condition) -> tuple[Array, Array]:
    clean_S, first_S, second_S = common_sources(
        copies(matrix.probes, CLEAN), copies(matrix.probes, noise, draw=0), copies(matrix.probes, noise, draw=1)
    )
    target_T = is_clean(matrix.targets)
    used_ST = source(matrix.probes)[clean_S][:, None] != source(matrix.targets)[target_T]
    if not used_ST.any():
        raise UndefinedError("expected clean targets of another source, got none")
    clean_ST, first_ST, second_ST = (matrix.gain[np.ix_(row_S, target_T)] for row_S in (clean_S, first_S, second_S))
    product_ST = (first_ST - clean_ST) * (second_ST - clean_ST)
    return np.where(used_ST, product_ST, 0), np.where(used_ST, clean_ST**2, 0)


SCORES = (
    Score(
        name="invariance",
        desideratum="noise",
        better="lower",
        measure=invariance,
        test=invariance_p,
        null=0.0,
        conditions=noise_levels,
    ),
)

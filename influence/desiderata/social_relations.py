"""The social relations model: what a gain owes to its probe, to its target and to the pair."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from influence.arrays import Array
from influence.desiderata.cells import clean_part, square
from influence.desiderata.spec import Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix

MIN_SAMPLES = 5


@dataclass(frozen=True, eq=False, kw_only=True)
class SocialRelations:
    """Estimates of M_ij = mean + probe_i + target_j + pair_ij; variances in the squared unit of M.

    Attributes:
        mean: of all off-diagonal cells.
        probe_N: how much more a probe teaches than others; it sums to 0.
        target_N: how much more a target learns than others; it sums to 0.
        probe_variance, target_variance, pair_variance: unbiased, so below 0 where there is none.
        pair_covariance: of pair_ij with pair_ji, the reciprocity that probe and target do not explain.
    """

    mean: float
    probe_N: Float64[Array, " N"]
    target_N: Float64[Array, " N"]
    probe_variance: float
    target_variance: float
    pair_variance: float
    pair_covariance: float


def social_relations(gain_NN: Float64[Array, "N N"]) -> SocialRelations:
    """Round-robin estimates of the social relations model M_ij = m + a_i + b_j + e_ij, i != j.

    With R_i, C_i the mean of row and column i without the diagonal and m their mean,
    a_i = ((n-1)^2 R_i + (n-1) C_i) / (n(n-2)) - (n-1) m / (n-2), and b_i the same with R and C exchanged.
    With e = M - m - a - b,
    MSB = sum_{i<j} (e_ij + e_ji)^2 / 2 / ((n-1)(n-2)/2 - 1), MSW = sum_{i<j} (e_ij - e_ji)^2 / 2 / ((n-1)(n-2)/2),
    var e = (MSB + MSW) / 2, cov e = (MSB - MSW) / 2, and
    var a = |a|^2 / (n-1) - ((n-1) var e + cov e) / (n(n-2)), var b likewise
    (Warner, Kenny and Stoto 1979; Hoff, arXiv 1506.08237).

    Args:
        gain_NN: gains of n samples on each other; the diagonal is not read.

    Raises:
        UndefinedError: n is below 5.
    """
    n = len(gain_NN)
    if n < MIN_SAMPLES:
        raise UndefinedError(f"expected at least {MIN_SAMPLES} samples, got {n}")
    off_NN = np.where(np.eye(n, dtype=bool), 0.0, gain_NN)
    row_N, column_N = off_NN.sum(1) / (n - 1), off_NN.sum(0) / (n - 1)
    mean = float(row_N.mean())

    def effect(own_N: Array, other_N: Array) -> Array:
        effect_N: Array = ((n - 1) ** 2 * own_N + (n - 1) * other_N) / (n * (n - 2)) - (n - 1) * mean / (n - 2)
        return effect_N

    probe_N, target_N = effect(row_N, column_N), effect(column_N, row_N)
    pair_NN = gain_NN - mean - probe_N[:, None] - target_N
    there, back = pair_NN[np.triu_indices(n, 1)], pair_NN.T[np.triu_indices(n, 1)]
    pairs = (n - 1) * (n - 2) / 2
    between = float(((there + back) ** 2).sum()) / 2 / (pairs - 1)
    within = float(((there - back) ** 2).sum()) / 2 / pairs
    variance, covariance = (between + within) / 2, (between - within) / 2
    sampling = ((n - 1) * variance + covariance) / (n * (n - 2))
    return SocialRelations(
        mean=mean,
        probe_N=probe_N,
        target_N=target_N,
        probe_variance=float(probe_N @ probe_N) / (n - 1) - sampling,
        target_variance=float(target_N @ target_N) / (n - 1) - sampling,
        pair_variance=variance,
        pair_covariance=covariance,
    )


def _component(name: str) -> Callable[[InfluenceMatrix], Ratio]:
    def measure(matrix: InfluenceMatrix) -> Ratio:
        gain_NN, used_NN = square(clean_part(matrix))
        if used_NN.sum() < used_NN.size - len(used_NN):
            raise UndefinedError("expected one clean sample a source, got several: the estimators need every pair")
        return Ratio(getattr(social_relations(gain_NN), name))

    return measure


SCORES = tuple(
    Score(name=f"srm_{name}", desideratum="symmetry", unit="{readout}^2", measure=_component(name))
    for name in ("probe_variance", "target_variance", "pair_variance", "pair_covariance")
)

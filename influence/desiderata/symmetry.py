"""How symmetric a matrix is: asymmetry index, reciprocity, and the paper's measure.

To first order, learning by gradient descent is symmetric: M_ij = lr g_i . g_j, so each score here is a
diagnostic of the optimiser and of the step size, and none has a verdict. None changes when rows and columns
are permuted together, so none has a permutation test.
"""

from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64

from influence.arrays import Array
from influence.desiderata.cells import square_of_loss
from influence.desiderata.spec import Ratio, Score, UndefinedError
from influence.desiderata.units import mean_world
from influence.matrix import InfluenceMatrix


def asymmetry_index(gain_NN: Float64[Array, "N N"], used_NN: Bool[Array, "N N"]) -> Ratio:
    """AI = |A|^2 / (|A|^2 + |S|^2) of the antisymmetric and the symmetric part, A, S = (M -+ M') / 2.

    0 for a symmetric matrix, 1 for an antisymmetric one, 1/2 for independent entries of mean zero. Of M minus
    its off-diagonal mean AI is (1 - r) / 2, r the reciprocity.

    Args:
        gain_NN: gains of N samples on each other; any unit.
        used_NN: the ordered pairs that count, symmetric.

    >>> asymmetry_index(np.array([[0.0, 3.0], [1.0, 0.0]]), ~np.eye(2, dtype=bool)).value
    0.2
    """
    antisymmetric = float((((gain_NN - gain_NN.T) / 2)[used_NN] ** 2).sum())
    symmetric = float((((gain_NN + gain_NN.T) / 2)[used_NN] ** 2).sum())
    return Ratio(antisymmetric, antisymmetric + symmetric)


def reciprocity(gain_NN: Float64[Array, "N N"], used_NN: Bool[Array, "N N"]) -> Ratio:
    """Correlation r = corr(M_ij, M_ji) over all ordered pairs; over i < j it would depend on the order of the samples.

    Args:
        gain_NN: gains of N samples on each other; any unit.
        used_NN: the ordered pairs that count, symmetric.

    Raises:
        UndefinedError: all the gains are the same.
    """
    there, back = gain_NN[used_NN], gain_NN.T[used_NN]
    if np.ptp(there) == 0:
        raise UndefinedError("expected gains that differ, got the same in every cell")
    return Ratio(float(np.corrcoef(there, back)[0, 1]))


def paper_symmetry(gain_NN: Float64[Array, "N N"], used_NN: Bool[Array, "N N"], *, norm: Literal["fro", 2]) -> Ratio:
    """1 / |M - M'|, the measure of Matelsky et al. 2024, Fig. 5B; the larger, the more symmetric.

    It has the unit 1 / readout: a step half as large looks twice as symmetric. Compare it at equal
    self-gain, and beside the asymmetry index.

    Args:
        gain_NN: gains of N samples on each other.
        used_NN: the ordered pairs that count, symmetric; the others count as symmetric.
        norm: the paper names none: Frobenius, or 2 for the largest singular value.

    Raises:
        UndefinedError: the matrix is exactly symmetric.
    """
    distance = float(np.linalg.norm(np.where(used_NN, gain_NN - gain_NN.T, 0), norm))
    if distance == 0:
        raise UndefinedError("expected a matrix that differs from its transpose, got a symmetric one")
    return Ratio(1 / distance)


def _asymmetry_index(matrix: InfluenceMatrix) -> Ratio:
    return asymmetry_index(*square_of_loss(matrix))


def _reciprocity(matrix: InfluenceMatrix) -> Ratio:
    return reciprocity(*square_of_loss(matrix))


def _paper_symmetry(*worlds: InfluenceMatrix, norm: Literal["fro", 2]) -> Ratio:
    return paper_symmetry(*square_of_loss(mean_world(worlds)), norm=norm)


SCORES = (
    Score(name="asymmetry_index", desideratum="symmetry", measure=_asymmetry_index),
    Score(name="reciprocity", desideratum="symmetry", measure=_reciprocity, null=0.0),
    Score(
        name="paper_symmetry_frobenius",
        desideratum="symmetry",
        unit="1/{readout}",
        measure=partial(_paper_symmetry, norm="fro"),
        of_all_worlds=True,
    ),
    Score(
        name="paper_symmetry_spectral",
        desideratum="symmetry",
        unit="1/{readout}",
        measure=partial(_paper_symmetry, norm=2),
        of_all_worlds=True,
    ),
)

"""MRQAP: regression of one matrix on others, with a permutation test that knows cells share rows and columns.

Double semi-partialling (Dekker, Krackhardt and Snijders 2007): the tested regressor is freed of all the others once,
and what is left of it is permuted, rows and columns together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from influence.arrays import Array
from influence.stats.permutation import Permutations, permutation_p

COLLINEAR = 1e-9
"""A regressor of which a smaller share is left by the others is a combination of them."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Mrqap:
    """Least-squares fit of y_ij = a_i + b_j + beta x_ij + sum_k gamma_k z_kij over the cells that count.

    Attributes:
        response_NN: what row effects a, column effects b and controls z leave of y; 0 in cells that do not count.
        regressor_NN: what they leave of x, likewise.
        control_KNN: orthonormal basis of what the effects leave of the controls.
        tolerance: share of the variance of x that is left, 1 - R^2 of x on all the others.
        size: norm of what the effects alone leave of y.
    """

    response_NN: Float64[Array, "N N"]
    regressor_NN: Float64[Array, "N N"]
    control_KNN: Float64[Array, "K N N"]
    tolerance: float
    size: float

    @property
    def identified(self) -> bool:
        """Whether x is more than a combination of effects and controls."""
        return self.tolerance > COLLINEAR

    @property
    def slope(self) -> float:
        """beta, in units of y per unit of x; to be read where it is identified."""
        return float(np.vdot(self.regressor_NN, self.response_NN) / np.vdot(self.regressor_NN, self.regressor_NN))

    def permutation_p(self, permutations: Permutations) -> float:
        """Two-sided p-value of beta = 0, by the partial correlation of y with x when x's residual is permuted.

        With x* the permuted residual, r* = <y, x*> / |x* without its part along the controls|, up to the norm of y:
        it rises with the t of x* in a fit anew, so the test is pivotal, and no fit is made.

        Args:
            permutations: orders that map cells that count onto cells that count, so that x* has no row or column
                effects either.
        """
        total = np.vdot(self.regressor_NN, self.regressor_NN)
        fitted = np.concatenate([self.response_NN[None], self.control_KNN]).reshape(-1, self.regressor_NN.size)
        # Over the size of y, not of its residual: what is left of a y that the others explain is rounding and stays so.
        fitted[0] /= self.size or 1.0

        def correlation(permuted_NN: Array) -> float:
            along, *along_controls = fitted @ permuted_NN.ravel()
            free = total - sum(part**2 for part in along_controls)
            return float(along / np.sqrt(free)) if free > COLLINEAR * total else 0.0

        drawn_K = np.array(
            [correlation(self.regressor_NN.take(order_N, 0).take(order_N, 1)) for order_N in permutations.order_KN]
        )
        return permutation_p(correlation(self.regressor_NN), drawn_K, exact=permutations.exact)


def mrqap(
    response_NN: Float64[Array, "N N"],
    regressor_NN: Float64[Array, "N N"],
    controls: Sequence[Float64[Array, "N N"]],
    used_NN: Bool[Array, "N N"],
) -> Mrqap:
    """Fit beta with row effects, column effects and controls, each projected out once.

    Args:
        response_NN: y, any unit.
        regressor_NN: x, the tested one.
        controls: z_1, z_2, ...; combinations of each other or of the effects do no harm.
        used_NN: the cells that count; the others may hold anything.
    """
    plain_KNN = np.where(used_NN, np.stack([response_NN, regressor_NN, *controls]), 0.0)
    response_NN, regressor_NN, *rest = without_effects(plain_KNN, used_NN)
    # Of controls of norm 1 the effects leave 0 to 1, which tells rounding from substance.
    scaled = [left / (np.linalg.norm(plain) or 1.0) for left, plain in zip(rest, plain_KNN[2:], strict=True)]
    _, singular, basis = np.linalg.svd(np.array(scaled).reshape(len(scaled), used_NN.size), full_matrices=False)
    control_KNN = basis[singular > COLLINEAR].reshape(-1, *used_NN.shape)

    def free(value_NN: Array) -> Array:
        return value_NN - np.tensordot(np.tensordot(control_KNN, value_NN), control_KNN, 1)

    left_NN = free(regressor_NN)
    spread = plain_KNN[1][used_NN].var() * used_NN.sum()
    return Mrqap(
        response_NN=free(response_NN),
        regressor_NN=left_NN,
        control_KNN=control_KNN,
        tolerance=float(np.vdot(left_NN, left_NN) / spread) if spread > 0 else 0.0,
        size=float(np.linalg.norm(response_NN)),
    )


def without_effects(value_KNN: Float64[Array, "K N N"], used_NN: Bool[Array, "N N"]) -> Float64[Array, "K N N"]:
    """What least-squares row and column effects a_i + b_j, fitted over the used cells, leave of each matrix.

    With u the used cells as 0 and 1 and n_i, m_j its row and column sums, a_i = sum_j u_ij (v_ij - b_j) / n_i, which
    leaves N equations for b instead of a dummy for every row and column of every cell:
    (diag m - u' diag(1/n) u) b = sum_i u_ij (v_ij - mean_i).

    Args:
        value_KNN: matrices, 0 in cells that are not used.
        used_NN: need not be complete nor connected.

    Returns:
        The residuals, 0 in cells that are not used.
    """
    weight_NN = used_NN.astype(float)
    average_NN = weight_NN / np.maximum(weight_NN.sum(1, keepdims=True), 1)
    equations_NN = np.diag(weight_NN.sum(0)) - weight_NN.T @ average_NN
    row_mean_KN = np.einsum("kij,ij->ki", value_KNN, average_NN)
    right_KN = value_KNN.sum(1) - row_mean_KN @ weight_NN
    # Singular, a constant in each connected part being free: the solution of least norm takes one.
    column_KN = np.linalg.lstsq(equations_NN, right_KN.T, rcond=COLLINEAR)[0].T
    row_KN = row_mean_KN - column_KN @ average_NN.T
    residual_KNN: Array = np.where(used_NN, value_KNN - row_KN[:, :, None] - column_KN[:, None, :], 0.0)
    return residual_KNN

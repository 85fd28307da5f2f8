"""Gauge share: how much of the asymmetry is a scale of its own for every sample.

Where M_ij = K_ij / s_i with K symmetric, as at the first step of Adam, log(M_ij / M_ji) is a difference of
potentials, and a change of scale makes the matrix symmetric. An additive matrix of row and column effects
scores high as well: read it beside the social relations model.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float64

from influence.arrays import Array
from influence.desiderata.cells import square_of_loss
from influence.desiderata.spec import Ratio, Score, UndefinedError
from influence.desiderata.symmetry import asymmetry_index
from influence.matrix import InfluenceMatrix
from influence.stats.permutation import DRAWS, TIE

MIN_ASYMMETRY = 1e-4
"""Below this asymmetry index the ratios M_ij / M_ji are curvature and rounding."""

MIN_GAIN = 1e-3
"""A gain below this share of the median |gain| has no ratio to speak of."""

CHUNK = 128
"""Sign patterns drawn at once."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Gauge:
    """Least-squares fit of y_ij = log(M_ij / M_ji) = s_j - s_i over the pairs i < j of equal sign.

    Attributes:
        log_ratio: y, one number a pair.
        incidence: pairs x N, +1 at the second and -1 at the first sample of the pair, so that y = incidence s.
        whitener: N x rank; |whitener' incidence' y|^2 is the explained sum of squares.
    """

    log_ratio: Float64[Array, " pairs"]
    incidence: scipy.sparse.csr_array
    whitener: Float64[Array, "N rank"]

    @property
    def share(self) -> float:
        """R^2 = 1 - |y - incidence s|^2 / |y|^2, about 0: the fit has no intercept."""
        return float(self._shares(self.log_ratio[None])[0])

    @property
    def chance(self) -> float:
        """Mean share when every y has a random sign: (n - components) / pairs."""
        return float(self.whitener.shape[1] / len(self.log_ratio))

    @property
    def potentials(self) -> Float64[Array, " N"]:
        """s, of mean 0 over each connected component of the pairs."""
        potential_N: Array = self.whitener @ (self.whitener.T @ (self.incidence.T @ self.log_ratio))
        return potential_N

    def sign_p(self, generator: np.random.Generator) -> float:
        """p-value of a share this large when every y has a random sign, from 9,999 draws; one-sided."""
        at_least = 0
        for start in range(0, DRAWS, CHUNK):
            shape = min(CHUNK, DRAWS - start), len(self.log_ratio)
            signs = 2.0 * generator.integers(2, size=shape, dtype=np.int8) - 1
            at_least += int((self._shares(signs * self.log_ratio) >= self.share - TIE).sum())
        return (1 + at_least) / (1 + DRAWS)

    def _shares(self, log_ratio: Float64[Array, "K pairs"]) -> Float64[Array, " K"]:
        explained = (self.incidence.T @ log_ratio.T).T @ self.whitener
        share_K: Array = (explained**2).sum(1) / (self.log_ratio @ self.log_ratio)
        return share_K


def gauge(gain_NN: Float64[Array, "N N"], used_NN: Bool[Array, "N N"]) -> Gauge:
    """Fit the potentials of a matrix.

    Args:
        gain_NN: gains of N samples on each other; any unit.
        used_NN: the ordered pairs that count, symmetric.

    Raises:
        UndefinedError: the asymmetry index is below 1e-4, or there are no more pairs of equal sign than
            potentials to be fitted.
    """
    asymmetry = asymmetry_index(gain_NN, used_NN).value
    if not asymmetry >= MIN_ASYMMETRY:
        raise UndefinedError(f"expected an asymmetry index of {MIN_ASYMMETRY:g} or more, got {asymmetry:.2g}")
    large_NN = np.abs(gain_NN) > MIN_GAIN * np.median(np.abs(gain_NN[used_NN]))
    fitted_NN = used_NN & (gain_NN * gain_NN.T > 0) & large_NN & large_NN.T
    first, second = np.nonzero(np.triu(fitted_NN, 1))
    pair = np.arange(len(first))
    incidence = scipy.sparse.csr_array(
        (np.repeat([1.0, -1.0], len(pair)), (np.tile(pair, 2), np.concatenate([second, first]))),
        shape=(len(pair), len(gain_NN)),
    )
    value_N, vector_NN = np.linalg.eigh((incidence.T @ incidence).toarray())
    connected_N = value_N > 1 / len(gain_NN) ** 2  # one zero a component; the others are 4 / n^2 or more
    whitener = vector_NN[:, connected_N] / np.sqrt(value_N[connected_N])
    if len(pair) <= whitener.shape[1]:
        raise UndefinedError(
            f"expected more pairs of equal sign than the potentials to fit, {whitener.shape[1]}, got {len(pair)}"
        )
    return Gauge(
        log_ratio=np.log(gain_NN[first, second] / gain_NN[second, first]), incidence=incidence, whitener=whitener
    )


def _share(matrix: InfluenceMatrix) -> Ratio:
    return Ratio(gauge(*square_of_loss(matrix)).share)


def _chance(matrix: InfluenceMatrix) -> Ratio:
    return Ratio(gauge(*square_of_loss(matrix)).chance)


def _sign_p(matrix: InfluenceMatrix, generator: np.random.Generator) -> float:
    return gauge(*square_of_loss(matrix)).sign_p(generator)


SCORES = (
    Score(name="gauge_share", desideratum="symmetry", measure=_share, test=_sign_p),
    Score(name="gauge_chance", desideratum="symmetry", measure=_chance),
)

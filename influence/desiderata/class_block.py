"""Class blocks: does a sample teach its own class more than the others, beyond what softmax alone does."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float64

from influence.arrays import Array
from influence.desiderata.cells import clean_part, column, numbered_columns, other_source, source
from influence.desiderata.spec import Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix
from influence.stats.permutation import joint_permutation_p, joint_permutations

MOST_SAMPLES = 4096
"""Of more, the regression over all pairs would take gigabytes."""


def softmax_coupling(label_N: Array, probability_NC: Float64[Array, "N C"]) -> Float64[Array, "N N"]:
    """C_ij = (e_yi - p_i) . (e_yj - p_j): the gain, up to a factor, under the constant kernel K = kappa I.

    It is what a classifier shows that learns nothing but the bias of its outputs: never negative between equal
    labels, and positive between different ones when both samples are taken for the same third class.

    Args:
        label_N: class of each sample, 0 to C - 1.
        probability_NC: class probabilities of each sample under the base model.

    >>> softmax_coupling(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]]))
    array([[ 0.5, -0.5],
           [-0.5,  0.5]])
    """
    error_NC = np.eye(probability_NC.shape[1])[label_N] - probability_NC
    coupling_NN: Array = error_NC @ error_NC.T
    return coupling_NN


@dataclass(frozen=True, eq=False, kw_only=True)
class _Cells:
    """Clean samples that are probe or target, in one order, and which of their pairs were measured."""

    gain_NN: Array
    used_NN: Array
    same_NN: Array
    control_NN: Array | None
    source_N: Array
    median_self_gain: float

    def residual(self, value_NN: Array) -> Array:
        """What a constant and the control, fitted over the used cells, leave of a value in all cells."""
        ones_NN = np.ones_like(value_NN)
        regressors = np.stack([ones_NN] if self.control_NN is None else [ones_NN, self.control_NN], axis=-1)
        weights, *_ = np.linalg.lstsq(regressors[self.used_NN], value_NN[self.used_NN])
        residual_NN: Array = value_NN - regressors @ weights
        return residual_NN


def class_block(matrix: InfluenceMatrix, *, beyond_softmax: bool) -> Ratio:
    """How much more a clean probe teaches clean samples of its class than those of others, per self-gain.

    beta / median_i(M_ii) with M_ij = alpha + beta [y_i = y_j] (+ gamma C_ij) by least squares over the cells of
    different sources; without the control beta is the mean within classes minus the mean between them.

    Args:
        matrix: with `label`, and for the control `prob_0`, `prob_1`, ... of probes and targets.
        beyond_softmax: whether the constant-kernel coupling C_ij is in the regression.

    Returns:
        beta, and the median self-gain of the clean probes, both in the unit of the readout.

    Raises:
        UndefinedError: a column is missing, there is one class only, or the control tells classes apart as
            well as the labels do.
    """
    cells = _cells(matrix, beyond_softmax=beyond_softmax)
    same = cells.residual(cells.same_NN)[cells.used_NN]
    gain = cells.gain_NN[cells.used_NN]
    return Ratio(float(same @ gain / (same @ same)), cells.median_self_gain)


def class_block_p(matrix: InfluenceMatrix, generator: np.random.Generator, *, beyond_softmax: bool) -> float:
    """p-value of beta: the residuals of [y_i = y_j] permuted in rows and columns together, sources as blocks."""
    cells = _cells(matrix, beyond_softmax=beyond_softmax)
    gain_NN, same_NN = cells.residual(cells.gain_NN), cells.residual(cells.same_NN)
    # Over the norm of the gains, not of their residuals: what is left of M = C is rounding and stays so.
    scale = float(np.linalg.norm(cells.gain_NN[cells.used_NN]) * np.linalg.norm(same_NN)) or 1.0
    permutations = joint_permutations(cells.source_N, generator)
    return joint_permutation_p(np.where(cells.used_NN, gain_NN / scale, 0), same_NN, permutations)


def _cells(matrix: InfluenceMatrix, *, beyond_softmax: bool) -> _Cells:
    matrix = clean_part(matrix)
    samples = pd.concat([matrix.probes, matrix.targets]).drop_duplicates("id")
    if len(samples) > MOST_SAMPLES:
        raise UndefinedError(
            f"expected at most {MOST_SAMPLES} clean samples, whose pairs fit in memory, got {len(samples)}"
        )
    index = pd.Index(samples["id"])
    place = np.ix_(index.get_indexer(matrix.probes["id"]), index.get_indexer(matrix.targets["id"]))
    gain_NN, used_NN = np.zeros((len(samples), len(samples))), np.zeros((len(samples), len(samples)), bool)
    gain_NN[place], used_NN[place] = matrix.gain, other_source(matrix)
    label_N = column(samples, "label")
    same_NN = (label_N[:, None] == label_N).astype(float)
    if np.unique(same_NN[used_NN]).size < 2:
        raise UndefinedError("expected clean cells within and between classes, got one kind only")
    cells = _Cells(
        gain_NN=gain_NN,
        used_NN=used_NN,
        same_NN=same_NN,
        control_NN=softmax_coupling(label_N, numbered_columns(samples, "prob")) if beyond_softmax else None,
        source_N=source(samples),
        median_self_gain=float(np.median(matrix.self_gain)),
    )
    if np.ptp(cells.residual(same_NN)[used_NN]) < 1e-9:
        raise UndefinedError("expected classes that the softmax control does not tell apart, got ones that it does")
    return cells


SCORES = tuple(
    Score(
        name=name,
        desideratum="class blocks",
        unit="self-gains",
        better="higher",
        measure=partial(class_block, beyond_softmax=beyond_softmax),
        test=partial(class_block_p, beyond_softmax=beyond_softmax),
        null=0.0,
    )
    for name, beyond_softmax in (("class_block", False), ("class_block_beyond_softmax", True))
)

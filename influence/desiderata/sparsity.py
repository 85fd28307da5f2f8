"""Sparsity: does a sample say something about few others, and nothing about unrelated ones."""

import itertools
import json
import math
from functools import cache, partial

import numpy as np
from jaxtyping import Bool, Float64
from scipy import integrate, special, stats

from influence.arrays import Array
from influence.desiderata.cells import clean_part, column, other_source
from influence.desiderata.spec import Criterion, NotApplicableError, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix
from influence.samples import is_single

NONCE, NATURAL = {"parallel", "unrelated_nonce"}, {"unrelated_natural"}
"""Roles of targets that are unrelated to statements with other names."""


def gini(size_RN: Float64[Array, "R N"]) -> Float64[Array, " R"]:
    """Gini coefficient of each row of sizes x: sum_k (2k - n - 1) x_k / (n sum x), x sorted upward, k from 1.

    0 when all are alike, (n - 1)/n when one is all (Hurley and Rickard 2009).
    """
    count = size_RN.shape[1]
    weight_N = 2.0 * np.arange(1, count + 1) - count - 1
    gini_R: Array = np.sort(size_RN, axis=1) @ weight_N / (count * size_RN.sum(1))
    return gini_R


def hoyer(size_RN: Float64[Array, "R N"]) -> Float64[Array, " R"]:
    """(sqrt n - l1/l2) / (sqrt n - 1): 0 when all are alike, 1 when one is all (Hoyer 2004)."""
    root = np.sqrt(size_RN.shape[1])
    hoyer_R: Array = (root - size_RN.sum(1) / np.linalg.norm(size_RN, axis=1)) / (root - 1)
    return hoyer_R


def treves_rolls(size_RN: Float64[Array, "R N"]) -> Float64[Array, " R"]:
    """(1 - a) / (1 - 1/n), a = mean(x)^2 / mean(x^2): 0 when all are alike, 1 when one is (Treves and Rolls 1991)."""
    share_R = size_RN.mean(1) ** 2 / (size_RN**2).mean(1)
    treves_rolls_R: Array = (1 - share_R) / (1 - 1 / size_RN.shape[1])
    return treves_rolls_R


def participation(size_RN: Float64[Array, "R N"]) -> Float64[Array, " R"]:
    """l1^2 / l2^2: how many targets take part, from 1 to n."""
    count_R: Array = size_RN.sum(1) ** 2 / (size_RN**2).sum(1)
    return count_R


ROWS_AT_ONCE = 256
"""So that a measure takes no copy of a large matrix."""

MEASURES = {"gini": gini, "hoyer": hoyer, "treves_rolls": treves_rolls, "participation": participation}


@cache
def half_normal(name: str, count: int) -> float:
    """What a measure of sparsity is in the mean for rows of absolute values of n = `count` independent normal gains.

    Direction and length l2 of such a row are independent, so that E[l1/l2] = E[l1]/E[l2] and
    E[l1^2/l2^2] = E[l1^2]/E[l2^2]: participation 1 + (n-1) 2/pi, Treves-Rolls 1 - 2/pi, and Hoyer by
    E[l1]/E[l2] = n Gamma(n/2) / (sqrt pi Gamma((n+1)/2)). Gini is (n-1)/2 E[|x - y| / l1] with
    1/l1 = int_0^inf exp(-s l1/n) ds / n and E[exp(-t z)] = erfcx(t / sqrt 2), an integral over s.
    """
    if name == "participation":
        return 1 + (count - 1) * 2 / math.pi
    if name == "treves_rolls":
        return 1 - 2 / math.pi
    if name == "hoyer":
        log_ratio = special.gammaln(count / 2) - special.gammaln((count + 1) / 2)
        return (math.sqrt(count) - count / math.sqrt(math.pi) * math.exp(log_ratio)) / (math.sqrt(count) - 1)

    def at(s: float) -> float:
        """E[|x - y| exp(-t l1)] at t = s/n: of x and y, by rotation to x + y and x - y, times that of the others."""
        t = s / count
        other = special.erfcx(t / math.sqrt(2))
        return float(4 / math.sqrt(math.pi) * (special.erfcx(t) - other / math.sqrt(2)) * other ** (count - 2))

    return (count - 1) / (2 * count) * integrate.quad(at, 0, math.inf)[0]


def sparsity(matrix: InfluenceMatrix, *, name: str) -> Ratio:
    """Mean over clean probes of a measure of |M_ij| over the clean targets of other sources.

    Raises:
        UndefinedError: a row has fewer than two such targets, or teaches nothing.
    """
    measured = [
        MEASURES[name](size_RN[start : start + ROWS_AT_ONCE])
        for size_RN in _rows(matrix)
        for start in range(0, len(size_RN), ROWS_AT_ONCE)
    ]
    return Ratio(float(np.concatenate(measured).mean()))


def sparsity_of_half_normal(matrix: InfluenceMatrix, *, name: str) -> Ratio:
    """The measure's reference for rows as long as the matrix has: what independent normal gains would give."""
    rows = _rows(matrix)
    references = [half_normal(name, size_RN.shape[1]) for size_RN in rows]
    return Ratio(float(np.average(references, weights=[len(size_RN) for size_RN in rows])))


def unrelated_influence(matrix: InfluenceMatrix) -> Ratio:
    """U = median |M| over unrelated cells / median self-gain: 0 when a statement says nothing about others.

    Unrelated are a statement and one that shares no name with it: in the same frame with other nonce names (roles
    `parallel`, `unrelated_nonce`), or a natural sentence. The medians of the two kinds are averaged.

    Args:
        matrix: of one world, with `role` and `spans`.

    Returns:
        The mean of the medians, and the median self-gain of the statements, in the unit of the readout.

    Raises:
        UndefinedError: there is no such cell.
    """
    related, nonce, natural = _related(matrix)
    kinds = [np.abs(matrix.gain[cells_PT]) for cells_PT in (nonce, natural) if cells_PT.any()]
    self_gain_P = matrix.self_gain[related.any(1) | nonce.any(1) | natural.any(1)]
    return Ratio(float(np.mean([np.median(sizes) for sizes in kinds])), float(np.median(self_gain_P)))


def relatedness_auc(matrix: InfluenceMatrix) -> Ratio:
    """Probability that |M| of a related cell is larger than that of an unrelated one, ties 1/2: AUC.

    1 when every statement moves statements with a name in common more than any without, 1/2 when it does not tell
    them apart (Mann and Whitney 1947). Cells as in `unrelated_influence`.

    Raises:
        UndefinedError: there are no related, or no unrelated cells.
    """
    related, nonce, natural = _related(matrix)
    if not related.any():
        raise UndefinedError("expected statements with a name in common, got none")
    sizes, others = (np.abs(matrix.gain[cells_PT]) for cells_PT in (related, nonce | natural))
    return Ratio(float(stats.mannwhitneyu(sizes, others).statistic / (len(sizes) * len(others))))


def _rows(matrix: InfluenceMatrix) -> list[Float64[Array, "R N"]]:
    """Absolute gains of the targets of other sources, a row a clean probe of one statement; by their lengths."""
    matrix = clean_part(matrix)
    matrix = matrix.select(probes=is_single(matrix.probes), targets=is_single(matrix.targets))
    used_PT = other_source(matrix)
    length_P = used_PT.sum(1)
    if not len(length_P) or length_P.min() < 2:
        raise UndefinedError("expected probes with at least 2 targets of other sources, got fewer")
    rows = []
    for length in np.unique(length_P):
        row_R = np.flatnonzero(length_P == length)
        size_RN = np.empty((len(row_R), length))
        for size_N, row in zip(size_RN, row_R, strict=True):
            np.abs(matrix.gain[row, used_PT[row]], out=size_N)
        rows.append(size_RN)
    if not all(size_RN.any(1).all() for size_RN in rows):
        raise UndefinedError("expected probes that teach others something, got one that teaches nothing")
    return rows


def _related(matrix: InfluenceMatrix) -> tuple[Bool[Array, "P T"], Bool[Array, "P T"], Bool[Array, "P T"]]:
    """Cells of single statements: with a name in common; unrelated in nonce names; unrelated to a natural sentence."""
    role_T = column(matrix.targets, "role")
    if not np.isin(role_T, [*NONCE, *NATURAL]).any():
        raise NotApplicableError("expected targets of role unrelated_nonce, parallel or unrelated_natural, got none")
    names_P, names_T = (
        [{slot for slot, *_ in json.loads(spans)} for spans in column(table, "spans")]
        for table in (matrix.probes, matrix.targets)
    )
    statement_P, statement_T = (
        is_single(table) & (column(table, "role") != "name") for table in (matrix.probes, matrix.targets)
    )
    named_P = statement_P & np.array([bool(names) for names in names_P], bool)
    used_PT = other_source(matrix) & named_P[:, None] & statement_T
    shared_PT = np.array([bool(one & other) for one in names_P for other in names_T], bool).reshape(used_PT.shape)
    nonce_PT, natural_PT = (used_PT & ~shared_PT & np.isin(role_T, list(roles)) for roles in (NONCE, NATURAL))
    if not (nonce_PT | natural_PT).any():
        raise UndefinedError("expected unrelated statements, got none")
    return used_PT & shared_PT, nonce_PT, natural_PT


def _measured(name: str) -> tuple[Score, Score]:
    """A measure, and its reference beside it."""
    unit = "targets" if name == "participation" else "1"
    reference = partial(sparsity_of_half_normal, name=name)
    return (
        Score(name=name, desideratum="sparsity", unit=unit, measure=partial(sparsity, name=name)),
        Score(name=f"{name}_of_half_normal", desideratum="sparsity", unit=unit, measure=reference, smooth=False),
    )


SCORES = (
    Score(
        name="unrelated_influence",
        desideratum="sparsity",
        better="lower",
        measure=unrelated_influence,
        criterion=Criterion(threshold=0.05),
        smooth=False,
    ),
    Score(
        name="relatedness_auc",
        desideratum="sparsity",
        better="higher",
        measure=relatedness_auc,
        null=0.5,
        criterion=Criterion(threshold=0.9),
        smooth=False,
    ),
    *itertools.chain.from_iterable(map(_measured, MEASURES)),
)

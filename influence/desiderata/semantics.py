"""Semantics: does influence fall with distance of meaning, beyond what softmax and common words alone do.

Distances come from outside the measured network: sample tables carry coordinates `embed_0`, `embed_1`, ...
"""

import re
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64
from scipy import stats
from scipy.spatial.distance import cdist

from influence.arrays import Array
from influence.desiderata.cells import clean_part, column, numbered_columns, source, square
from influence.desiderata.class_block import softmax_coupling
from influence.desiderata.spec import Criterion, NotApplicableError, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix
from influence.samples import is_first_draw, is_single
from influence.stats.mrqap import Mrqap, mrqap
from influence.stats.permutation import Permutations, joint_permutation_p, joint_permutations

MIN_SELF_GAIN = 0.05
"""Samples that teach themselves less, in median self-gains, have no normalised gains."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Cells:
    """Clean samples that are probe and target: normalised gains, distances, and the cells that count."""

    gain_NN: Float64[Array, "N N"]
    distance_NN: Float64[Array, "N N"]
    controls: tuple[Float64[Array, "N N"], ...]
    used_NN: Bool[Array, "N N"]
    source_N: Array
    kind_N: Array

    def permutations(self, generator: np.random.Generator) -> Permutations:
        """Orders inside a label, which map cells that count onto cells that count."""
        return joint_permutations(self.source_N, generator, kind_N=self.kind_N)


def semantic_slope(
    matrix: InfluenceMatrix, *, same_label: bool = True, controlled: bool = True, by_category: bool = False
) -> Ratio:
    """beta1 of Mn_ij = a_i + b_j + beta1 z(d_ij) + beta2 C_ij / sqrt(C_ii C_jj) + beta3 J_ij, by least squares.

    Mn_ij = M_ij / sqrt(M_ii M_jj) of clean samples of other sources, d_ij the Euclidean distance of their embeddings
    and z(d) its standard score, C the constant-kernel coupling of classifiers (`softmax_coupling`), J the Jaccard
    overlap of the words of texts, names included. Below 0 where influence falls with distance.

    Args:
        matrix: with `embed_0`, ... of the samples; probes and targets are the same samples.
        same_label: read cells of equal labels (of images the class, of texts whether they are a sentence or a bare
            name), or of others.
        controlled: whether C and J are in the regression, where there are class probabilities and texts.
        by_category: of texts, take their category for the label.

    Returns:
        beta1, in self-gains per standard deviation of distance.

    Raises:
        UndefinedError: there are no embeddings, too few such cells, a median self-gain of 0 or less, or distances
            that the other terms explain.
    """
    return Ratio(_fit(_cells(matrix, same_label=same_label, by_category=by_category), controlled=controlled).slope)


def semantic_slope_p(
    matrix: InfluenceMatrix,
    generator: np.random.Generator,
    *,
    same_label: bool = True,
    controlled: bool = True,
    by_category: bool = False,
) -> float:
    """p-value of beta1 = 0: the residual of d is permuted inside labels (Dekker et al. 2007)."""
    cells = _cells(matrix, same_label=same_label, by_category=by_category)
    return _fit(cells, controlled=controlled).permutation_p(cells.permutations(generator))


def semantic_rank(matrix: InfluenceMatrix) -> Ratio:
    """-Spearman's rank correlation of Mn and d over cells of equal labels: 1 where influence falls with distance."""
    gain_C, distance_C = _ranks(_cells(matrix))
    return Ratio(-float(np.corrcoef(gain_C, distance_C)[0, 1]))


def semantic_rank_p(matrix: InfluenceMatrix, generator: np.random.Generator) -> float:
    """p-value of no correlation: samples are permuted inside labels."""
    cells = _cells(matrix)
    ranked = []
    for rank_C in _ranks(cells):
        rank_NN = np.zeros(cells.used_NN.shape)
        rank_NN[cells.used_NN] = (rank_C - rank_C.mean()) / np.linalg.norm(rank_C - rank_C.mean())
        ranked.append(rank_NN)
    return joint_permutation_p(ranked[0], ranked[1], cells.permutations(generator))


def normalised_share(matrix: InfluenceMatrix) -> Ratio:
    """Share of the clean samples whose self-gain is large enough to divide by: the others are in no cell."""
    _, known_N, _ = _samples(matrix)
    return Ratio(float(known_N.mean()))


def _cells(matrix: InfluenceMatrix, *, same_label: bool = True, by_category: bool = False) -> _Cells:
    samples, known_N, self_gain_N = _samples(matrix)
    gain_NN, used_NN = square(clean_part(matrix))
    embed_ND = numbered_columns(samples, "embed")
    label_N = _labels(samples, by_category=by_category)
    same_NN = label_N[:, None] == label_N
    used_NN = used_NN & known_N[:, None] & known_N & (same_NN if same_label else ~same_NN)
    if used_NN.sum() < 3:
        kind = "equal" if same_label else "different"
        raise UndefinedError(f"expected at least 3 cells of {kind} labels, got {int(used_NN.sum())}")
    root_N = np.sqrt(np.where(known_N, self_gain_N, 1.0))
    return _Cells(
        gain_NN=np.where(used_NN, gain_NN, 0.0) / np.outer(root_N, root_N),
        distance_NN=cdist(embed_ND, embed_ND),
        controls=tuple(_controls(samples)),
        used_NN=used_NN,
        source_N=source(samples),
        kind_N=pd.factorize(pd.Series(zip(label_N, known_N, strict=True)))[0],
    )


def _samples(matrix: InfluenceMatrix) -> tuple[pd.DataFrame, Bool[Array, " N"], Float64[Array, " N"]]:
    """The samples of `square(clean_part(matrix))`, which of them have normalised gains, and their self-gains."""
    matrix = clean_part(matrix)
    column(matrix.probes, "embed_0")
    kept_P = is_first_draw(matrix.probes) & is_single(matrix.probes)
    self_gain_N = matrix.self_gain[kept_P]
    median = float(np.median(self_gain_N)) if kept_P.any() else 0.0
    if not median > 0:
        raise UndefinedError(f"expected clean samples with a median self-gain above 0, got {median:.2g}")
    return matrix.probes[kept_P], self_gain_N > MIN_SELF_GAIN * median, self_gain_N


def _fit(cells: _Cells, *, controlled: bool) -> Mrqap:
    distance_C = cells.distance_NN[cells.used_NN]
    if np.ptp(distance_C) == 0:
        raise UndefinedError("expected samples at different distances, got all at one")
    z_NN = (cells.distance_NN - distance_C.mean()) / distance_C.std()
    fit = mrqap(cells.gain_NN, z_NN, cells.controls if controlled else (), cells.used_NN)
    if not fit.identified:
        raise UndefinedError("expected distances that rows, columns and controls do not explain, got ones that they do")
    return fit


def _ranks(cells: _Cells) -> tuple[Array, Array]:
    gain_C, distance_C = cells.gain_NN[cells.used_NN], cells.distance_NN[cells.used_NN]
    if np.ptp(gain_C) == 0 or np.ptp(distance_C) == 0:
        raise UndefinedError("expected gains and distances that differ, got all alike")
    return stats.rankdata(gain_C), stats.rankdata(distance_C)


def _labels(samples: pd.DataFrame, *, by_category: bool) -> Array:
    """The class of images; whether a text is a sentence or a bare name, or its category."""
    if by_category and "text" not in samples:
        raise NotApplicableError("expected texts with categories, got none")
    if by_category or ("text" not in samples and "label" in samples):
        return column(samples, "label")
    return np.asarray(samples["role"] == "name") if "role" in samples else np.zeros(len(samples), bool)


def _controls(samples: pd.DataFrame) -> list[Array]:
    controls = []
    if {"label", "prob_0"} <= set(samples):
        coupling_NN = softmax_coupling(np.asarray(samples["label"]), numbered_columns(samples, "prob"))
        size_N = np.sqrt(coupling_NN.diagonal())
        # A sample that the network is certain of couples with none; rounding must not divide by 0.
        controls.append(coupling_NN / np.maximum(np.outer(size_N, size_N), np.finfo(float).tiny))
    if "text" in samples:
        words = [set(re.findall(r"\w+", text.lower())) for text in samples["text"]]
        controls.append(np.array([[len(one & other) / len(one | other) for other in words] for one in words]))
    return controls


def _slope(
    name: str,
    *,
    same_label: bool = True,
    controlled: bool = True,
    by_category: bool = False,
    criterion: Criterion | None = None,
) -> Score:
    return Score(
        name=name,
        desideratum="semantics",
        unit="self-gains",
        better="lower",
        measure=partial(semantic_slope, same_label=same_label, controlled=controlled, by_category=by_category),
        test=partial(semantic_slope_p, same_label=same_label, controlled=controlled, by_category=by_category),
        null=0.0,
        criterion=criterion,
    )


SCORES = (
    _slope("semantic_slope", criterion=Criterion(threshold=0.0)),
    _slope("semantic_slope_uncontrolled", controlled=False),
    _slope("semantic_slope_between_labels", same_label=False),
    _slope("semantic_slope_within_categories", by_category=True),
    Score(
        name="semantic_rank",
        desideratum="semantics",
        better="higher",
        measure=semantic_rank,
        test=semantic_rank_p,
        null=0.0,
    ),
    Score(name="normalised_share", desideratum="semantics", measure=normalised_share, smooth=False),
)

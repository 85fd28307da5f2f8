"""Selectivity: do clean samples inform noisy ones more than the other way round.

A symmetric kernel cannot be selective: there M(clean i -> noisy j) = M(noisy j -> clean i).
"""

from functools import partial

import numpy as np

from influence.arrays import Array
from influence.desiderata.cells import (
    CLEAN,
    PRIMARY_NOISE,
    check_reads_loss,
    column,
    common_sources,
    copies,
    noise_levels,
    source,
)
from influence.desiderata.spec import Condition, Criterion, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix
from influence.stats.sign_flip import sign_flip_p

MIN_LOSS = 0.5
"""Samples with a smaller loss before have too little headroom to be compared per headroom."""


def selectivity(matrix: InfluenceMatrix, *, per_headroom: bool, **noise: float | str) -> Ratio:
    """SEL = sum[M(clean i -> noisy j) - M(noisy j -> clean i)] / sum(|.| + |.|), same class, other source.

    1 when clean samples alone inform, 0 when information flows both ways alike, -1 when noisy ones alone do.
    SEL_h is the same of M / (loss of the target before), over samples whose loss before is above 0.5: a sample
    that is known already cannot gain, and that alone makes SEL positive. Good are both above c = 0.1 at sigma 1.

    Args:
        matrix: with `sigma`, `label` and `source`; clean and noisy copies are probes and targets.
        per_headroom: SEL_h instead of SEL.
        noise: `sigma=1.0` of images or `noise="typos"` of texts.

    Raises:
        UndefinedError: a column or the copies are missing, no pair of samples counts, or the loss cannot be
            told from the readout.
    """
    clean_to_noisy, noisy_to_clean, _ = _flows(matrix, per_headroom, noise)
    difference = float(clean_to_noisy.sum() - noisy_to_clean.sum())
    return Ratio(difference, float(np.abs(clean_to_noisy).sum() + np.abs(noisy_to_clean).sum()))


def selectivity_p(
    matrix: InfluenceMatrix, generator: np.random.Generator, *, per_headroom: bool, **noise: float | str
) -> float:
    """p-value of "noise makes no difference": the clean and the noisy copy of a source change places.

    They change places as probe and as target at once. The numerator of SEL is then sum_s e_s c_s / 2 with
    e_s = -1 for the sources that change and 1 for the others, and
    c_s = sum_j [M(clean s -> noisy j) - M(noisy j -> clean s) + M(clean j -> noisy s) - M(noisy s -> clean j)
    + M(clean s -> clean j) - M(clean j -> clean s) - M(noisy s -> noisy j) + M(noisy j -> noisy s)],
    which makes it a sign-flip test over the sources.
    """
    clean_to_noisy, noisy_to_clean, within = _flows(matrix, per_headroom, noise)
    across = clean_to_noisy - noisy_to_clean.T
    contrast_S = across.sum(1) + across.sum(0) + (within - within.T).sum(1)
    return sign_flip_p(contrast_S, generator)


def _flows(matrix: InfluenceMatrix, per_headroom: bool, noise: Condition) -> tuple[Array, Array, Array]:
    """Gains clean -> noisy, noisy -> clean, and clean -> clean minus noisy -> noisy, by source; 0 if not used."""
    tables = matrix.probes, matrix.targets
    clean_row, noisy_row, clean_column, noisy_column = common_sources(
        *(copies(table, kind) for table in tables for kind in (CLEAN, noise))
    )
    source_S, label_S = source(matrix.probes)[clean_row], column(matrix.probes, "label")[clean_row]
    used_SS = (label_S[:, None] == label_S) & (source_S[:, None] != source_S)
    gain_PT, counts_T = matrix.gain, np.ones(len(matrix.targets), bool)
    if per_headroom:
        check_reads_loss(matrix)
        counts_T = -matrix.before > MIN_LOSS
        gain_PT = gain_PT / np.where(counts_T, -matrix.before, 1)
    clean_counts, noisy_counts = counts_T[clean_column], counts_T[noisy_column]
    if not (used_SS & clean_counts[:, None] & noisy_counts).any():
        raise UndefinedError("expected clean and noisy samples of one class and different sources, got none that count")

    def flow(row_S: Array, column_S: Array, row_counts: Array, column_counts: Array) -> Array:
        return np.where(used_SS & row_counts[:, None] & column_counts, gain_PT[np.ix_(row_S, column_S)], 0)

    return (
        flow(clean_row, noisy_column, clean_counts, noisy_counts),
        flow(noisy_row, clean_column, noisy_counts, clean_counts),
        flow(clean_row, clean_column, clean_counts, clean_counts)
        - flow(noisy_row, noisy_column, noisy_counts, noisy_counts),
    )


SCORES = tuple(
    Score(
        name=name,
        desideratum="selectivity",
        better="higher",
        criterion=Criterion(threshold=0.1, condition=PRIMARY_NOISE),
        measure=partial(selectivity, per_headroom=per_headroom),
        test=partial(selectivity_p, per_headroom=per_headroom),
        null=0.0,
        conditions=noise_levels,
    )
    for name, per_headroom in (("selectivity", False), ("selectivity_per_headroom", True))
)

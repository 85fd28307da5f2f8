"""Noise discount: does a noisy sample teach less than its clean original."""

import numpy as np

from influence.arrays import Array
from influence.desiderata.cells import CLEAN, PRIMARY_NOISE, column, common_sources, copies, noise_levels, source
from influence.desiderata.spec import Condition, Criterion, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix
from influence.samples import is_clean
from influence.stats.sign_flip import sign_flip_p


def noise_discount(matrix: InfluenceMatrix, **noise: float | str) -> Ratio:
    """ND = mean M(noisy i -> clean j) / mean M(clean i -> clean j), same class, source j != source i.

    1 when noise teaches as much (the paper's finding, Eqs. 5 and 6), 0 when it teaches nothing. Both means are
    over the same sources, those with a clean and a noisy probe. Good is below c = 0.8 at sigma 1.

    Args:
        matrix: with `sigma`, `label` and `source` of probes and targets.
        noise: that of the probes, `sigma=1.0` of images or `noise="typos"` of texts.

    Returns:
        The two means, in the unit of the readout.

    Raises:
        UndefinedError: a column or the noisy copies are missing, or no two sources share a class.
    """
    noisy_ST, clean_ST, used_ST = _rows(matrix, noise)
    return Ratio(float(noisy_ST[used_ST].mean()), float(clean_ST[used_ST].mean()))


def noise_discount_p(matrix: InfluenceMatrix, generator: np.random.Generator, **noise: float | str) -> float:
    """p-value of "noise does not alter the row": the clean and the noisy row of a source change places."""
    noisy_ST, clean_ST, used_ST = _rows(matrix, noise)
    return sign_flip_p(np.where(used_ST, noisy_ST - clean_ST, 0).sum(1), generator)


def _rows(matrix: InfluenceMatrix, noise: Condition) -> tuple[Array, Array, Array]:
    """Rows of the noisy and of the clean copy of each source on the clean targets, and the cells that count."""
    clean_S, noisy_S = common_sources(copies(matrix.probes, CLEAN), copies(matrix.probes, noise))
    target_T = is_clean(matrix.targets)
    label_S, label_T = column(matrix.probes, "label")[clean_S], column(matrix.targets, "label")[target_T]
    source_S, source_T = source(matrix.probes)[clean_S], source(matrix.targets)[target_T]
    used_ST = (label_S[:, None] == label_T) & (source_S[:, None] != source_T)
    if not used_ST.any():
        raise UndefinedError("expected clean targets of the same class and another source, got none")
    return matrix.gain[np.ix_(noisy_S, target_T)], matrix.gain[np.ix_(clean_S, target_T)], used_ST


SCORES = (
    Score(
        name="noise_discount",
        desideratum="noise",
        better="lower",
        criterion=Criterion(threshold=0.8, condition=PRIMARY_NOISE),
        measure=noise_discount,
        test=noise_discount_p,
        null=1.0,
        conditions=noise_levels,
    ),
)

"""Class pair: where a pair of classes stands among all pairs, as in "learning 2 influences 9"."""

import itertools

import numpy as np
from scipy import stats

from influence.desiderata.cells import clean_part, column
from influence.desiderata.spec import Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix


def class_pair_rank(matrix: InfluenceMatrix, *, learned: int, read: int) -> Ratio:
    """Rank of mean M(class `learned` -> class `read`) among the ordered pairs of different classes, 1 = largest.

    With ten classes there are 90 pairs; ties share their mean rank. Clean probes and targets
    (Matelsky et al. 2024, section 2.1: digits that look alike are linked).

    Args:
        matrix: with `label`.
        learned: label of the probes.
        read: label of the targets.

    Raises:
        UndefinedError: the labels are missing, or the pair has no cell.
    """
    matrix = clean_part(matrix)
    label_P, label_T = column(matrix.probes, "label"), column(matrix.targets, "label")
    # Other labels are other sources.
    gains = {
        (one, other): matrix.gain[np.ix_(label_P == one, label_T == other)].mean()
        for one, other in itertools.product(np.unique(label_P), np.unique(label_T))
        if one != other
    }
    if (learned, read) not in gains:
        raise UndefinedError(f"expected clean probes of class {learned} and targets of class {read}, got no cell")
    ranks = stats.rankdata([-gain for gain in gains.values()])
    return Ratio(float(ranks[list(gains).index((learned, read))]))


def rank_of(learned: int, read: int) -> Score:
    """The score of a pair of your own: `score(matrix, [rank_of(3, 8)])`."""
    return Score(
        name="class_pair_rank",
        desideratum="class blocks",
        unit="rank",
        measure=class_pair_rank,
        conditions=lambda _units: [{"learned": learned, "read": read}],
    )


SCORES = (rank_of(2, 9),)

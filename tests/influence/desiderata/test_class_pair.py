import numpy as np
import pytest

from influence.desiderata import UndefinedError
from influence.desiderata.class_pair import class_pair_rank, rank_of
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import images, matrix_of, shuffled


def two_of_each() -> InfluenceMatrix:
    """Ten classes, two samples each; the mean gain of class k -> class l is 10 k + l + .5."""
    labels = np.repeat(np.arange(10), 2)
    gain_NN = 10.0 * labels[:, None] + labels + np.tile([0, 1], 10)
    return matrix_of(gain_NN, images(labels))


def test_rank_among_ninety_pairs() -> None:
    # Above 29 stand all the pairs of rows 3 to 9, 9 each: rank 64. Turned over it is 92, below it 93 to 98 without
    # the diagonal 99: rank 90 - 90 + 7. 98 is the first, 1 (0 -> 1) the last.
    matrix = two_of_each()
    assert class_pair_rank(matrix, learned=2, read=9).value == 64
    assert class_pair_rank(matrix, learned=9, read=2).value == 7
    assert class_pair_rank(matrix, learned=9, read=8).value == 1
    assert class_pair_rank(matrix, learned=0, read=1).value == 90
    assert class_pair_rank(shuffled(matrix), learned=2, read=9).value == 64
    assert rank_of(9, 2).conditions([matrix]) == [{"learned": 9, "read": 2}]


def test_rectangular_and_tied() -> None:
    matrix = matrix_of(
        [[0, 5, 5, 1, 1], [3, 0, 0, 1, 1], [3, 0, 0, 1, 1]], images([0, 1, 1]), images([0, 1, 1, 2, 2], prefix="t")
    )
    # means 0->1: 5, 1->0: 3, 0->2: 1, 1->2: 1; the last two share ranks 3 and 4
    assert class_pair_rank(matrix, learned=0, read=1).value == 1
    assert class_pair_rank(matrix, learned=1, read=0).value == 2
    assert class_pair_rank(matrix, learned=1, read=2).value == 3.5
    with pytest.raises(UndefinedError, match="expected clean probes of class 2 and targets of class 0, got no cell"):
        class_pair_rank(matrix, learned=2, read=0)

import numpy as np
import pytest

from influence.desiderata import SCORES, UndefinedError
from tests.influence.desiderata.matrices import images, language, matrix_of


def test_median_least_and_largest_of_the_clean_probes() -> None:
    table = images([0, 0, 1, 1, 1], sigmas=[0.0, 1.0])
    matrix = matrix_of(np.zeros((10, 10)), table, self_gain=[0.3, 0.1, 2.0, 0.2, 0.4, 9, 9, 9, 9, 9])
    values = [SCORES[f"self_gain_{name}"].measure(matrix).value for name in ("min", "median", "max")]
    assert values == [0.1, 0.3, 2.0]  # mean 0.6


def test_samples_of_several_statements_set_no_step_size() -> None:
    gains = {("both", "both"): 9.0, ("p1", "p1"): 0.1, ("p2", "p2"): 0.2, ("entailed", "entailed"): 0.6}
    matrix = language("bigger_than", gains | {("contradicted", "contradicted"): 0.4})
    values = [SCORES[f"self_gain_{name}"].measure(matrix).value for name in ("min", "median", "max")]
    assert values == pytest.approx([0.1, 0.3, 0.6])
    with pytest.raises(UndefinedError, match="expected probes of one statement, got none"):
        SCORES["self_gain_median"].measure(matrix.select(probes=(matrix.probes["item"] == "both").to_numpy()))


def test_share_of_probes_that_teach_themselves_most() -> None:
    # Self-gains 4, 4, 4; the largest gain on another is 5, 4, 3: two of three are not exceeded.
    matrix = matrix_of(
        [[1, 5, 2, 0, 0], [1, 2, 3, 4, 0], [-1, 3, 2, 0, 0]],
        images([0, 1, 2]),
        images(range(5), prefix="t"),
        self_gain=4,
    )
    assert SCORES["self_gain_is_largest"].measure(matrix).value == pytest.approx(2 / 3)


def test_its_own_noisy_copy_is_no_other_sample() -> None:
    table = images([0, 1], sigmas=[0.0, 1.0])
    gain_NN = np.array([[1, 0, 9, 0], [0, 1, 0, 9], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert SCORES["self_gain_is_largest"].measure(matrix_of(gain_NN, table)).value == 1


def test_needs_clean_probes_and_others() -> None:
    with pytest.raises(UndefinedError, match="expected clean probes, got noisy ones alone"):
        SCORES["self_gain_median"].measure(matrix_of(np.ones((2, 2)), images([0, 0], sigmas=[1.0])))
    with pytest.raises(UndefinedError, match="expected a target of another source for every probe"):
        SCORES["self_gain_is_largest"].measure(matrix_of([[1]], images([0])))

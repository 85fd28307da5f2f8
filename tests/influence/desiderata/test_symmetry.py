import numpy as np
import pytest

from influence.desiderata import SCORES, UndefinedError
from influence.desiderata.symmetry import asymmetry_index, paper_symmetry, reciprocity
from tests.influence.desiderata.matrices import images, language, matrix_of, samples, shuffled


def off_diagonal(n: int) -> np.ndarray:
    return ~np.eye(n, dtype=bool)


def random(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n))


def test_asymmetry_of_the_pure_cases() -> None:
    gain_NN = random(6)
    assert asymmetry_index(gain_NN + gain_NN.T, off_diagonal(6)).value == 0
    assert asymmetry_index(gain_NN - gain_NN.T, off_diagonal(6)).value == 1
    # Independent entries of mean 0: |A|^2 and |S|^2 have the same mean; 79,800 pairs.
    assert asymmetry_index(random(400), off_diagonal(400)).value == pytest.approx(0.5, abs=0.01)


def test_asymmetry_by_hand() -> None:
    # S = (3 + 1) / 2 = 2 and A = +-(3 - 1) / 2 = +-1, twice each: 2 / (2 + 8).
    ratio = asymmetry_index(np.array([[7.0, 3.0], [1.0, 9.0]]), off_diagonal(2))
    assert (ratio.numerator, ratio.denominator) == (2, 10)


def test_reciprocity_by_hand() -> None:
    # Pairs (1, 2), (2, 1), (3, 3), (3, 3), (5, 4), (4, 5): mean 3; squares 4+1+0+0+4+1 = 10; products
    # 2 * (-2)(-1) + 0 + 2 * (2)(1) = 8; r = 8 / 10.
    gain_NN = np.array([[0.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 4.0, 0.0]])
    assert reciprocity(gain_NN, off_diagonal(3)).value == pytest.approx(0.8)


@pytest.mark.parametrize("seed", range(3))
def test_asymmetry_without_the_mean_is_told_by_reciprocity(seed: int) -> None:
    gain_NN = random(9, seed) + 3
    centred_NN = gain_NN - gain_NN[off_diagonal(9)].mean()
    r = reciprocity(gain_NN, off_diagonal(9)).value
    assert asymmetry_index(centred_NN, off_diagonal(9)).value == pytest.approx((1 - r) / 2, abs=1e-14)


def test_paper_symmetry_by_hand() -> None:
    # M - M' has +-2, +-1 and +-2 above and below the diagonal: |.|_F = sqrt(2 (4 + 1 + 4)) = sqrt(18); a 3 x 3
    # antisymmetric matrix has singular values |w|, |w|, 0 with w = (2, 1, 2): 3.
    gain_NN = np.array([[5.0, 3.0, 2.0], [1.0, 5.0, 4.0], [1.0, 2.0, 5.0]])
    assert paper_symmetry(gain_NN, off_diagonal(3), norm="fro").value == pytest.approx(1 / np.sqrt(18))
    assert paper_symmetry(gain_NN, off_diagonal(3), norm=2).value == pytest.approx(1 / 3)
    assert paper_symmetry(gain_NN / 10, off_diagonal(3), norm=2).value == pytest.approx(10 / 3)


def test_another_readout_than_the_loss_has_no_symmetry() -> None:
    """Of it even the first order is asymmetric."""
    matrix = matrix_of(random(4), images([0, 0, 1, 1]), readout="margin")
    for name in ("asymmetry_index", "reciprocity", "paper_symmetry_frobenius", "gauge_share"):
        with pytest.raises(UndefinedError, match="expected the readout log_prob, minus the loss, got margin"):
            SCORES[name].measure(matrix)


def test_what_has_no_value_says_so() -> None:
    with pytest.raises(UndefinedError, match="expected a matrix that differs from its transpose"):
        paper_symmetry(np.ones((3, 3)), off_diagonal(3), norm="fro")
    with pytest.raises(UndefinedError, match="expected gains that differ"):
        reciprocity(np.ones((3, 3)), off_diagonal(3))


@pytest.mark.parametrize("name", ["asymmetry_index", "reciprocity"])
def test_scale_and_order_do_not_matter(name: str) -> None:
    table = images([0, 1, 2], sigmas=[0.0, 1.0])
    gain_NN = random(6)
    value = SCORES[name].measure(matrix_of(gain_NN, table)).value
    assert SCORES[name].measure(matrix_of(1e-6 * gain_NN, table)).value == pytest.approx(value, rel=1e-12)
    assert SCORES[name].measure(shuffled(matrix_of(gain_NN, table))).value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", ["asymmetry_index", "reciprocity", "paper_symmetry_frobenius"])
def test_copies_of_a_source_say_nothing_about_each_other(name: str) -> None:
    table = images([0, 1, 2], sigmas=[0.0, 1.0])
    gain_NN = random(6)
    of_copies_NN = np.tile(np.eye(3), (2, 2)) * random(6, seed=1)
    value = SCORES[name].measure(matrix_of(gain_NN, table)).value
    assert SCORES[name].measure(matrix_of(gain_NN + 99 * of_copies_NN, table)).value == pytest.approx(value, rel=1e-12)


def test_needs_the_same_ids_as_rows_and_columns() -> None:
    matrix = matrix_of(random(5)[:3], samples(3), samples(5))
    message = "expected the same ids as probes and as targets, got 3 probes and 5 targets with 3 ids in common"
    with pytest.raises(UndefinedError, match=message):
        SCORES["asymmetry_index"].measure(matrix)
    with pytest.raises(UndefinedError, match="3 probes and 3 targets with 0 ids in common"):
        SCORES["asymmetry_index"].measure(matrix_of(random(3), samples(3), samples(3, prefix="t")))


def test_a_second_noise_draw_may_be_probe_alone() -> None:
    targets = images([0, 1, 2], sigmas=[0.0, 1.0])
    probes = images([0, 1, 2], sigmas=[0.0, 1.0], draws=[0, 1])
    gain_PT = np.random.default_rng(0).normal(size=(9, 6))
    value = SCORES["asymmetry_index"].measure(matrix_of(gain_PT, probes, targets)).value
    assert value == SCORES["asymmetry_index"].measure(matrix_of(gain_PT[:6], targets)).value


def test_samples_of_several_statements_are_left_out() -> None:
    # Learned as a sum and read as one text, they are not symmetric even to first order.
    gains = {("p1", "p2"): 1.0, ("p2", "p1"): 1.0, ("both", "p1"): 5.0, ("p1", "both"): -5.0}
    matrix = language("bigger_than", gains)
    assert SCORES["asymmetry_index"].measure(matrix).value == 0
    assert SCORES["reciprocity"].measure(matrix).value == pytest.approx(1)

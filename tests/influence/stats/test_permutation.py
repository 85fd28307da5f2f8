import itertools
import math

import numpy as np
import pytest

from influence.stats.permutation import Permutations, joint_permutation_p, joint_permutations, permutation_p


def test_p_counts_the_observed_among_random_draws() -> None:
    # 1 of 4 draws reaches 3.5, so (1 + 1) / (1 + 4) on that side, twice.
    assert permutation_p(3.5, np.array([1.0, 2.0, 3.0, 4.0]), exact=False) == pytest.approx(0.8)
    assert permutation_p(9.0, np.arange(99.0), exact=False) == pytest.approx(2 * 11 / 100)
    assert permutation_p(1000.0, np.arange(99.0), exact=False) == pytest.approx(2 / 100)


def test_p_of_an_enumeration_counts_the_observed_once() -> None:
    assert permutation_p(40.0, np.arange(1.0, 41.0), exact=True) == pytest.approx(2 / 40)
    assert permutation_p(1.0, np.arange(1.0, 41.0), exact=True) == pytest.approx(2 / 40)
    assert permutation_p(3.0, np.array([1.0, 2.0, 3.0, 4.0]), exact=True) == 1


def test_rounding_makes_no_difference() -> None:
    drawn_K = np.array([0.3, 0.1 + 0.2, 0.0, -0.3])  # the first two differ by 5e-17
    assert permutation_p(0.3, drawn_K, exact=True) == permutation_p(0.1 + 0.2, drawn_K, exact=True) == 1


def test_all_orders_are_enumerated_where_they_are_few() -> None:
    permutations = joint_permutations(np.array(list("abcd")), np.random.default_rng(0))
    assert permutations.exact
    assert {tuple(order) for order in permutations.order_KN.tolist()} == set(itertools.permutations(range(4)))


def test_orders_are_drawn_where_they_are_many() -> None:
    permutations = joint_permutations(np.arange(8), np.random.default_rng(0), draws=500)  # 8! = 40,320
    assert not permutations.exact
    assert permutations.order_KN.shape == (500, 8)
    assert (np.sort(permutations.order_KN, axis=1) == np.arange(8)).all()


def test_sources_move_as_blocks_and_only_among_their_like() -> None:
    source_N = np.array(["a", "b", "a", "b", "c", "d", "e"])
    label_N = np.array([0, 0, 1, 1, 0, 0, 1])
    permutations = joint_permutations(source_N, np.random.default_rng(0), kind_N=label_N)
    # a and b (labels 0, 1) change places, so do c and d (label 0); e (label 1) stays: 2! 2! 1! orders.
    a, b = [0, 2], [1, 3]
    assert permutations.exact
    assert len(permutations.order_KN) == 4
    for order_N in permutations.order_KN.tolist():
        assert [order_N[0], order_N[2]] in (a, b)
        assert [order_N[1], order_N[3]] in (a, b)
        assert order_N[6] == 6
        assert (label_N[order_N] == label_N).all()
    without_labels = joint_permutations(source_N, np.random.default_rng(0))
    assert len(without_labels.order_KN) == math.factorial(2) * math.factorial(3)


@pytest.mark.parametrize("seed", range(4))
def test_joint_p_equals_a_plain_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    left_NN, right_NN = rng.normal(size=(5, 5)), rng.normal(size=(5, 5))
    sums = []
    for order in itertools.permutations(range(5)):
        sums.append(sum(left_NN[i, j] * right_NN[order[i], order[j]] for i in range(5) for j in range(5)))
    above = sum(value >= sums[0] - 1e-12 for value in sums)
    below = sum(value <= sums[0] + 1e-12 for value in sums)
    p = joint_permutation_p(left_NN, right_NN, joint_permutations(np.arange(5), rng))
    assert p == pytest.approx(2 * min(above, below) / 120)


def test_a_joint_permutation_leaves_what_rows_and_columns_share() -> None:
    rng = np.random.default_rng(0)
    gain_NN = rng.normal(size=(6, 6))
    permutations = joint_permutations(np.arange(6), rng)
    assert joint_permutation_p(gain_NN.T @ gain_NN, np.eye(6), permutations) == 1


def test_planted_structure_is_found_and_a_shuffled_one_is_not() -> None:
    rng = np.random.default_rng(0)
    right_NN = rng.normal(size=(30, 30))
    left_NN = right_NN + 2 * rng.normal(size=(30, 30))
    order_N = rng.permutation(30)
    permutations = joint_permutations(np.arange(30), rng, draws=999)
    assert joint_permutation_p(left_NN, right_NN, permutations) == 2 / 1000
    assert joint_permutation_p(left_NN[order_N][:, order_N], right_NN, permutations) > 0.05


def test_p_is_uniform_under_the_null() -> None:
    # Row and column effects make the cells dependent; an exchange of samples is still fair.
    rng = np.random.default_rng(0)
    label_N = np.arange(9) % 3
    same_NN = (label_N[:, None] == label_N) - 1 / 3
    p = []
    for _ in range(400):
        left_NN = rng.normal(size=(9, 9)) + 2 * rng.normal(size=(9, 1)) + rng.normal(size=9)
        np.fill_diagonal(left_NN, 0)
        permutations = joint_permutations(np.arange(9), rng, draws=199)
        p.append(joint_permutation_p(left_NN, same_NN, permutations))
    for level in (0.05, 0.25, 0.5):
        assert abs((np.array(p) <= level).mean() - level) < 4 * math.sqrt(level * (1 - level) / 400)


def test_no_exchange_is_no_evidence() -> None:
    permutations = joint_permutations(np.array(["a", "a", "b"]), np.random.default_rng(0))
    assert isinstance(permutations, Permutations)
    assert joint_permutation_p(np.eye(3), np.eye(3), permutations) == 1

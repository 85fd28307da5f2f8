import itertools

import numpy as np
import pytest

from influence.desiderata import UndefinedError, score
from influence.desiderata.selectivity import selectivity, selectivity_p
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import images, matrix_of, samples, shuffled

TABLE = images([0, 0], sigmas=[0.0, 1.0])  # clean a, clean b, noisy a, noisy b
LABELS = np.arange(16) % 2


def sel(matrix: InfluenceMatrix, per_headroom: bool = False) -> float:
    return selectivity(matrix, sigma=1.0, per_headroom=per_headroom).value


def test_selectivity_by_hand() -> None:
    # Used: clean a -> noisy b 5, clean b -> noisy a 3, noisy a -> clean b 2, noisy b -> clean a -1; the rest is of the
    # same source or of the same quality. SEL = (5 + 3 - 2 + 1) / (5 + 3 + 2 + 1).
    gain_NN = [[9, 8, 9, 5], [8, 9, 3, 9], [9, 2, 9, 7], [-1, 9, 7, 9]]
    assert sel(matrix_of(gain_NN, TABLE)) == pytest.approx(7 / 11)


def test_selectivity_per_headroom_by_hand() -> None:
    # Losses before 2, 4, 5, 0.5: noisy b does not count. Left: clean b -> noisy a 3 / 5, noisy a -> clean b 2 / 4.
    gain_NN = [[9, 8, 9, 5], [8, 9, 3, 9], [9, 2, 9, 7], [-1, 9, 7, 9]]
    matrix = matrix_of(gain_NN, TABLE, before=[-2, -4, -5, -0.5])
    assert sel(matrix, per_headroom=True) == pytest.approx((3 / 5 - 2 / 4) / (3 / 5 + 2 / 4))


def test_a_symmetric_matrix_is_not_selective_and_one_way_is_wholly() -> None:
    gain_NN = np.abs(np.random.default_rng(0).normal(size=(32, 32)))
    table = images(LABELS, sigmas=[0.0, 1.0])
    noisy_N = (table["sigma"] > 0).to_numpy()
    assert sel(matrix_of(gain_NN + gain_NN.T, table)) == pytest.approx(0, abs=1e-12)
    one_way_NN = np.where(noisy_N[:, None], 0, gain_NN)
    assert sel(matrix_of(one_way_NN, table)) == 1
    assert sel(matrix_of(one_way_NN.T, table)) == -1


def test_headroom_alone_makes_selectivity_that_sel_h_takes_away() -> None:
    rng = np.random.default_rng(0)
    table = images(LABELS, sigmas=[0.0, 1.0])
    loss_N = np.where(table["sigma"] > 0, 3.0, 0.6)
    kernel_NN = rng.uniform(1, 2, (32, 32))
    matrix = matrix_of((kernel_NN + kernel_NN.T) * loss_N, table, before=-loss_N)
    assert sel(matrix) == pytest.approx((3 - 0.6) / (3 + 0.6))
    assert sel(matrix, per_headroom=True) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("per_headroom", [False, True])
def test_p_equals_the_enumeration_of_exchanged_copies(per_headroom: bool) -> None:
    rng = np.random.default_rng(3)
    labels = [0, 0, 1, 1, 0]
    table = images(labels, sigmas=[0.0, 1.0])
    gain_NN, before_N = rng.normal(size=(10, 10)), -rng.uniform(0.3, 3, 10)
    sums = []
    for exchanged in itertools.product([False, True], repeat=5):
        order_N = np.arange(10)
        for number in np.flatnonzero(exchanged):
            order_N[[number, number + 5]] = number + 5, number
        matrix = matrix_of(gain_NN[np.ix_(order_N, order_N)], table, before=before_N[order_N])
        sums.append(selectivity(matrix, sigma=1.0, per_headroom=per_headroom).numerator)
    above = sum(value >= sums[0] - 1e-12 for value in sums)
    below = sum(value <= sums[0] + 1e-12 for value in sums)
    matrix = matrix_of(gain_NN, table, before=before_N)
    p = selectivity_p(matrix, rng, sigma=1.0, per_headroom=per_headroom)
    assert p == pytest.approx(min(1, 2 * min(above, below) / 2**5))


def test_planted_selectivity_is_found_and_none_is_not() -> None:
    rng = np.random.default_rng(0)
    table = images(LABELS, sigmas=[0.0, 1.0])
    noisy_N = (table["sigma"] > 0).to_numpy()
    noise_NN = rng.normal(size=(32, 32))
    planted = matrix_of(noise_NN + np.where(~noisy_N[:, None] & noisy_N, 0.8, 0), table)
    assert selectivity_p(planted, rng, sigma=1.0, per_headroom=False) < 0.01
    assert selectivity_p(matrix_of(noise_NN, table), rng, sigma=1.0, per_headroom=False) > 0.05


@pytest.mark.parametrize(("one_way", "verdict"), [(0.8, "satisfied"), (0.0, "violated")])
def test_over_seeds_both_are_judged_at_sigma_1(one_way: float, verdict: str) -> None:
    table = images(LABELS, sigmas=[0.0, 0.5, 1.0])
    noisy_N = (table["sigma"] > 0).to_numpy()
    matrices = []
    for seed in range(8):
        gain_NN = np.random.default_rng(seed).uniform(0.5, 1.5, size=(48, 48))
        gain_NN = (gain_NN + gain_NN.T) * np.where(noisy_N[:, None] & ~noisy_N, 1 - one_way, 1)
        matrices.append(matrix_of(gain_NN, table, self_gain=0.3))
    found = score(matrices, ["selectivity"])
    assert list(found["score"]) == ["selectivity"] * 2 + ["selectivity_per_headroom"] * 2
    assert list(found["condition"]) == ["sigma=0.5", "sigma=1"] * 2
    assert list(found["verdict"]) == ["diagnostic", verdict] * 2
    assert set(found["threshold"].dropna()) == {0.1}


def test_scale_and_order_do_not_matter() -> None:
    gain_NN = np.random.default_rng(1).normal(size=(32, 32))
    before_N = -np.random.default_rng(2).uniform(0, 3, 32)
    matrix = matrix_of(gain_NN, images(LABELS, sigmas=[0.0, 1.0]), before=before_N)
    for per_headroom in (False, True):
        value = sel(matrix, per_headroom)
        assert sel(matrix_of(1e-6 * gain_NN, matrix.probes, before=before_N), per_headroom) == pytest.approx(value)
        assert sel(shuffled(matrix), per_headroom) == pytest.approx(value)


def test_clean_and_noisy_copies_need_not_be_all_there_is() -> None:
    # Rows: the four copies and a sample of another source; columns turned round.
    table = images([0, 0, 1], sigmas=[0.0, 1.0])
    probes = table.iloc[[0, 1, 3, 4, 2]].reset_index(drop=True)
    targets = table.iloc[[4, 3, 1, 0]].reset_index(drop=True)
    # columns: noisy b, noisy a, clean b, clean a
    gain_PT = [[5, 9, 8, 9], [9, 3, 9, 8], [7, 9, 2, 9], [9, 7, 9, -1], [99, 99, 99, 99]]
    assert sel(matrix_of(gain_PT, probes, targets)) == pytest.approx(7 / 11)


def test_what_is_missing_is_said() -> None:
    with pytest.raises(UndefinedError, match="expected a column 'sigma'"):
        sel(matrix_of(np.ones((2, 2)), samples(2)))
    with pytest.raises(UndefinedError, match="expected clean and noisy samples of one class and different sources"):
        sel(matrix_of(np.ones((4, 4)), images([0, 1], sigmas=[0.0, 1.0])))
    with pytest.raises(UndefinedError, match="of one class and different sources, got none that count"):
        sel(matrix_of(np.ones((4, 4)), TABLE, before=-0.4), per_headroom=True)
    with pytest.raises(UndefinedError, match="expected the readout log_prob, minus the loss, got margin"):
        sel(matrix_of(np.ones((4, 4)), TABLE, readout="margin"), per_headroom=True)

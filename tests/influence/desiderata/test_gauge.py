import numpy as np
import pytest

from influence.desiderata import SCORES, UndefinedError
from influence.desiderata.gauge import gauge
from tests.influence.desiderata.matrices import images, matrix_of, shuffled


def symmetric(n: int, rng: np.random.Generator) -> np.ndarray:
    kernel_NN = np.exp(rng.normal(size=(n, n)))
    return np.sqrt(kernel_NN * kernel_NN.T)


def off_diagonal(n: int) -> np.ndarray:
    return ~np.eye(n, dtype=bool)


def test_a_scale_for_every_sample_is_found() -> None:
    rng = np.random.default_rng(0)
    potential_N = rng.normal(size=7)
    gain_NN = symmetric(7, rng) * np.exp(-potential_N)[:, None]
    gain_NN[[0, 1], [1, 0]] *= -1  # a pair of negative gains has a ratio as well
    found = gauge(gain_NN, off_diagonal(7))
    assert found.share == pytest.approx(1, abs=1e-12)
    assert found.potentials == pytest.approx(potential_N - potential_N.mean())
    assert found.chance == pytest.approx(6 / 21)
    assert found.sign_p(rng) < 0.001


def test_share_equals_dense_least_squares() -> None:
    rng = np.random.default_rng(1)
    gain_NN = rng.normal(size=(9, 9))  # half the pairs have gains of opposite sign
    gain_NN[2, 5], gain_NN[5, 2] = 1e-5, 1  # too small beside the median to have a ratio
    pairs, log_ratios = [], []
    for i in range(9):
        for j in range(i + 1, 9):
            small = np.abs(gain_NN[[i, j], [j, i]]).min() <= 1e-3 * np.median(np.abs(gain_NN[off_diagonal(9)]))
            if gain_NN[i, j] * gain_NN[j, i] > 0 and not small:
                pairs.append(np.eye(9)[j] - np.eye(9)[i])
                log_ratios.append(np.log(gain_NN[i, j] / gain_NN[j, i]))
    design, y = np.array(pairs), np.array(log_ratios)
    residual = y - design @ np.linalg.lstsq(design, y)[0]
    found = gauge(gain_NN, off_diagonal(9))
    assert found.share == pytest.approx(1 - residual @ residual / (y @ y))
    assert found.chance == pytest.approx(np.linalg.matrix_rank(design) / len(y))


def test_random_signs_give_the_chance_share_and_a_uniform_p() -> None:
    rng = np.random.default_rng(2)
    shares, p = [], []
    for draw in range(200):
        log_ratio_NN = np.triu(rng.normal(size=(8, 8)), 1)
        found = gauge(symmetric(8, rng) * np.exp((log_ratio_NN - log_ratio_NN.T) / 2), off_diagonal(8))
        shares.append(found.share)
        if draw < 20:
            p.append(found.sign_p(rng))
    assert found.chance == pytest.approx(7 / 28)
    assert np.mean(shares) == pytest.approx(7 / 28, abs=4 * np.std(shares) / np.sqrt(200))
    assert np.mean(p) == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / 20))


def test_unconnected_samples_have_potentials_of_their_own() -> None:
    rng = np.random.default_rng(3)
    gain_NN = symmetric(10, rng) * np.exp(rng.normal(size=(10, 1)))
    gain_NN[:5, 5:] *= -1  # opposite signs between the halves: no pair to fit
    found = gauge(gain_NN, off_diagonal(10))
    assert found.chance == pytest.approx((10 - 2) / 20)
    assert found.share == pytest.approx(1, abs=1e-12)
    assert found.potentials[:5].sum() == pytest.approx(0, abs=1e-9)


def test_scale_and_order_do_not_matter() -> None:
    table = images(range(7))
    gain_NN = np.abs(np.random.default_rng(4).normal(size=(7, 7)))
    share = SCORES["gauge_share"].measure(matrix_of(gain_NN, table)).value
    assert SCORES["gauge_share"].measure(matrix_of(1e-5 * gain_NN, table)).value == pytest.approx(share)
    assert SCORES["gauge_share"].measure(shuffled(matrix_of(gain_NN, table))).value == pytest.approx(share)
    assert SCORES["gauge_chance"].measure(matrix_of(gain_NN, table)).value == pytest.approx(6 / 21)


def test_a_nearly_symmetric_matrix_has_no_share() -> None:
    rng = np.random.default_rng(5)
    gain_NN = symmetric(6, rng)
    with pytest.raises(UndefinedError, match=r"expected an asymmetry index of 0.0001 or more, got"):
        gauge(gain_NN * (1 + 1e-3 * rng.normal(size=(6, 6))), off_diagonal(6))
    with pytest.raises(UndefinedError, match=r"expected an asymmetry index of 0.0001 or more, got nan"):
        gauge(np.zeros((6, 6)), off_diagonal(6))


def test_as_many_potentials_as_pairs_explain_nothing() -> None:
    gain_NN = np.array([[0.0, 2.0], [1.0, 0.0]])
    with pytest.raises(UndefinedError, match="expected more pairs of equal sign than the potentials to fit, 1, got 1"):
        gauge(gain_NN, off_diagonal(2))

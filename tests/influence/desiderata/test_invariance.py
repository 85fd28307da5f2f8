import numpy as np
import pytest

from influence.desiderata import UndefinedError
from influence.desiderata.invariance import invariance, invariance_p
from influence.matrix import InfluenceMatrix
from tests.influence.desiderata.matrices import images, matrix_of


def drawn(clean: np.ndarray, first: np.ndarray, second: np.ndarray) -> InfluenceMatrix:
    """Rows: clean, draw 0, draw 1 of the same sources; columns: clean samples of others."""
    sources, targets = clean.shape
    probes = images([0] * sources, sigmas=[0.0, 1.0], draws=[0, 1])
    return matrix_of(np.vstack([clean, first, second]), probes, images(range(targets), prefix="t"))


def test_invariance_by_hand() -> None:
    # D1 = (1, -1), D2 = (2, 3): <D1, D2> = 2 - 3 = -1; |M_0|^2 = 9 + 16
    ratio = invariance(drawn(np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]]), np.array([[5.0, 7.0]])), sigma=1.0)
    assert (ratio.numerator, ratio.denominator) == (-1, 25)


def test_noise_that_takes_everything_away_and_noise_that_only_blurs() -> None:
    rng = np.random.default_rng(0)
    clean_ST = rng.normal(size=(40, 50))
    nothing_ST = np.zeros((40, 50))
    assert invariance(drawn(clean_ST, nothing_ST, nothing_ST), sigma=1.0).value == 1
    blurred = drawn(clean_ST, clean_ST + rng.normal(size=(40, 50)), clean_ST + rng.normal(size=(40, 50)))
    # one draw alone would show |D|^2 / |M_0|^2 = 1; the product of two has standard deviation 1 / sqrt(2000)
    assert abs(invariance(blurred, sigma=1.0).value) < 4 / np.sqrt(2000)
    assert invariance_p(blurred, rng, sigma=1.0) > 0.05


def test_a_systematic_change_is_found_under_the_blur() -> None:
    rng = np.random.default_rng(0)
    clean_ST = rng.normal(size=(40, 50))
    halved = [0.5 * clean_ST + rng.normal(size=(40, 50)) for _ in range(2)]
    assert invariance(drawn(clean_ST, *halved), sigma=1.0).value == pytest.approx(0.25, abs=0.1)
    assert invariance_p(drawn(clean_ST, *halved), rng, sigma=1.0) < 0.01


def test_cells_of_the_same_source_are_left_out() -> None:
    table = images([0, 1, 2], sigmas=[0.0, 1.0], draws=[0, 1])
    gain_NN = np.random.default_rng(0).normal(size=(9, 9))
    value = invariance(matrix_of(gain_NN, table), sigma=1.0).value
    same_source = np.tile(np.eye(3, dtype=bool), (3, 3))
    assert invariance(matrix_of(np.where(same_source, 99, gain_NN), table), sigma=1.0).value == value
    assert invariance(matrix_of(1e-6 * gain_NN, table), sigma=1.0).value == pytest.approx(value)


def test_needs_a_second_draw() -> None:
    with pytest.raises(UndefinedError, match="expected one copy a source with sigma 1 and draw 1, got none"):
        invariance(matrix_of(np.ones((4, 4)), images([0, 0], sigmas=[0.0, 1.0])), sigma=1.0)

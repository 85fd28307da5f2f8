"""MRQAP against a regression with every dummy written out."""

import numpy as np
import pytest

from influence.stats.mrqap import mrqap, without_effects
from influence.stats.permutation import joint_permutations

COUNT = 9


def data(seed: int, controls: int = 2) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], np.ndarray]:
    """A response with row and column effects, a regressor, controls, and an incomplete set of cells."""
    rng = np.random.default_rng(seed)
    x, *z = rng.normal(size=(1 + controls, COUNT, COUNT))
    x = x + sum(z, np.zeros_like(x))
    y = 0.7 * x + sum(z, np.zeros_like(x)) + rng.normal(size=COUNT)[:, None] + rng.normal(size=COUNT)
    used = (rng.random((COUNT, COUNT)) < 0.8) & ~np.eye(COUNT, dtype=bool)
    return y + 0.1 * rng.normal(size=x.shape), x, z, used


def with_dummies(x: np.ndarray, z: list[np.ndarray], used: np.ndarray) -> np.ndarray:
    row, column = (np.eye(len(used))[:, index] for index in np.nonzero(used))
    return np.stack([x[used], *(control[used] for control in z), *row, *column], axis=1)


def dense_slope(y: np.ndarray, x: np.ndarray, z: list[np.ndarray], used: np.ndarray) -> float:
    """Least squares with a dummy a row and a column."""
    return float(np.linalg.lstsq(with_dummies(x, z, used), y[used])[0][0])


@pytest.mark.parametrize("controls", [0, 1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_slope_is_that_of_all_dummies(seed: int, controls: int) -> None:
    y, x, z, used = data(seed, controls)
    assert mrqap(y, x, z, used).slope == pytest.approx(dense_slope(y, x, z, used), rel=1e-9)


def test_unused_cells_may_hold_anything() -> None:
    y, x, z, used = data(0)
    expected = mrqap(y, x, z, used).slope
    assert mrqap(np.where(used, y, np.nan), np.where(used, x, np.nan), z, used).slope == expected


def test_repeated_controls_do_no_harm() -> None:
    y, x, z, used = data(0)
    doubled = mrqap(y, x, [*z, 2 * z[0] - z[1], np.ones_like(x)], used)
    assert doubled.slope == pytest.approx(mrqap(y, x, z, used).slope, rel=1e-9)


def test_a_combination_of_the_others_is_not_identified() -> None:
    y, _, z, used = data(0)
    combined = 2 * z[0] - 3 * z[1] + np.arange(COUNT)[:, None] - np.arange(COUNT) ** 2
    assert not mrqap(y, combined, z, used).identified
    assert mrqap(y, combined + 0.01 * y, z, used).identified


def test_effects_are_projected_out_of_unconnected_cells() -> None:
    """Two blocks with effects of their own: each is freed of its own mean, as dummies would."""
    used = np.kron(np.eye(2), np.ones((3, 3))).astype(bool)
    value = np.random.default_rng(0).normal(size=(1, 6, 6))
    left = without_effects(np.where(used, value, 0.0), used)[0]
    for block in (slice(0, 3), slice(3, 6)):
        part = value[0, block, block]
        expected = part - part.mean(0) - part.mean(1)[:, None] + part.mean()
        assert left[block, block] == pytest.approx(expected, abs=1e-12)


def refitted_t(y: np.ndarray, x: np.ndarray, z: list[np.ndarray], used: np.ndarray) -> float:
    """Student's t of x in least squares with all dummies, fitted anew."""
    regressors = with_dummies(x, z, used)
    solution = np.linalg.pinv(regressors)
    residual = y[used] - regressors @ (solution @ y[used])
    variance = residual @ residual / (len(residual) - np.linalg.matrix_rank(regressors))
    return float(solution[0] @ y[used] / np.sqrt(variance * (solution[0] @ solution[0])))


@pytest.mark.parametrize("controls", [0, 2])
def test_p_is_that_of_fitting_every_permuted_residual_anew(controls: int) -> None:
    """Two labels of four and the cells inside them: 4!^2 = 576 orders, each fitted with all dummies."""
    label = np.arange(8) % 2
    used = (label[:, None] == label) & ~np.eye(8, dtype=bool)
    permutations = joint_permutations(np.arange(8), np.random.default_rng(0), kind_N=label)
    assert permutations.exact
    for seed in range(3):
        rng = np.random.default_rng(seed)
        y, x, *z = rng.normal(size=(2 + controls, 8, 8))
        y, x = y + 0.5 * x + sum(z, np.zeros_like(x)), x + sum(z, np.zeros_like(x))
        fit = mrqap(y, x, z, used)
        t = [refitted_t(y, fit.regressor_NN[np.ix_(order, order)], z, used) for order in permutations.order_KN]
        observed = refitted_t(y, x, z, used)
        assert t[0] == pytest.approx(observed)  # the first order leaves all in place, and x's t is its residual's
        extreme = min(sum(value >= observed - 1e-9 for value in t), sum(value <= observed + 1e-9 for value in t))
        assert fit.permutation_p(permutations) == pytest.approx(min(1.0, 2 * extreme / 576))


def test_what_the_controls_explain_is_no_evidence() -> None:
    """y is a control to the last digit: its rounding must not be tested."""
    _, x, z, used = data(0)
    permutations = joint_permutations(np.arange(COUNT), np.random.default_rng(0), draws=199)
    assert mrqap(3 * z[0], x, z, used).permutation_p(permutations) == 1


def planted(effect: float, seed: int, *, count: int = 30) -> float:
    rng = np.random.default_rng(seed)
    place = rng.normal(size=(count, 2))
    x = np.linalg.norm(place[:, None] - place, axis=-1)
    y = rng.normal(size=(count, count)) + effect * x + rng.normal(size=count)[:, None]
    used = ~np.eye(count, dtype=bool)
    return mrqap(y, x, [rng.normal(size=x.shape)], used).permutation_p(
        joint_permutations(np.arange(count), rng, draws=499)
    )


def test_p_finds_a_planted_effect_and_not_a_shuffled_one() -> None:
    assert planted(0.5, 0) == pytest.approx(2 / 500)
    assert min(planted(0.0, seed) for seed in range(5)) > 0.02


def test_p_is_small_as_often_as_it_says() -> None:
    """300 tables without an effect: 15 below .05 are expected, 4 standard errors are 15."""
    assert sum(planted(0.0, seed, count=12) < 0.05 for seed in range(300)) <= 30

import itertools
import math

import numpy as np
import pytest

from influence.stats.sign_flip import sign_flip_p


def enumerated_p(contrast_W: np.ndarray) -> float:
    observed = contrast_W.sum()
    sums = [np.dot(signs, contrast_W) for signs in itertools.product([1, -1], repeat=len(contrast_W))]
    above = sum(value >= observed - 1e-12 for value in sums)
    below = sum(value <= observed + 1e-12 for value in sums)
    return min(1.0, 2 * min(above, below) / len(sums))


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_equals_the_enumeration_of_all_signs(n: int) -> None:
    for draw in range(5):
        contrast_W = np.random.default_rng(draw).normal(0.5, 1, n)
        assert sign_flip_p(contrast_W, np.random.default_rng(0)) == pytest.approx(enumerated_p(contrast_W))


def test_five_units_of_one_sign() -> None:
    assert sign_flip_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.random.default_rng(0)) == 2 / 2**5


def test_is_exact_to_thirteen_units_and_random_beyond() -> None:
    contrast_W = np.random.default_rng(0).normal(0.4, 1, 14)
    assert len({sign_flip_p(contrast_W[:13], np.random.default_rng(seed)) for seed in range(4)}) == 1
    p = {sign_flip_p(contrast_W, np.random.default_rng(seed)) for seed in range(4)}
    assert len(p) > 1
    assert all(value * 10_000 / 2 == pytest.approx(round(value * 10_000 / 2)) for value in p)
    assert max(p) == pytest.approx(enumerated_p(contrast_W), abs=4 * math.sqrt(0.25 / 9999) * 2)


def test_does_not_depend_on_scale() -> None:
    contrast_W = np.array([0.2, 0.5, -0.1, 0.4])
    assert sign_flip_p(contrast_W, np.random.default_rng(0)) == sign_flip_p(1e-9 * contrast_W, np.random.default_rng(0))


def test_nothing_is_no_evidence() -> None:
    assert sign_flip_p(np.zeros(6), np.random.default_rng(0)) == 1


def test_p_is_uniform_under_the_null() -> None:
    rng = np.random.default_rng(0)
    p = np.array([sign_flip_p(rng.standard_t(3, 9), rng) for _ in range(500)])
    for level in (0.05, 0.25, 0.5):
        assert abs((p <= level).mean() - level) < 4 * math.sqrt(level * (1 - level) / 500)

import math

import numpy as np
import pytest

from influence.stats.jackknife import jackknife_interval, jackknife_ratio_interval
from influence.stats.student import mean_interval, ratio_interval


def leave_one_out_means(value_S: np.ndarray) -> np.ndarray:
    return np.array([np.delete(value_S, s).mean() for s in range(len(value_S))])


def test_jackknife_of_a_mean_is_students_interval() -> None:
    value_S = np.array([0.3, -1.2, 2.5, 0.1, 0.9, 4.0])
    expected = mean_interval(value_S)
    interval = jackknife_interval(float(value_S.mean()), leave_one_out_means(value_S))
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_jackknife_of_a_ratio_agrees_with_linearisation() -> None:
    rng = np.random.default_rng(0)
    numerator_S, denominator_S = rng.normal(1, 1, 400), rng.normal(5, 1, 400)
    expected = ratio_interval(numerator_S, denominator_S)
    interval = jackknife_ratio_interval(
        float(numerator_S.mean()),
        float(denominator_S.mean()),
        leave_one_out_means(numerator_S),
        leave_one_out_means(denominator_S),
    )
    assert interval.value == expected.value
    assert interval.high - interval.low == pytest.approx(expected.high - expected.low, rel=0.01)


def test_ratio_is_undefined_when_the_interval_of_the_denominator_touches_zero() -> None:
    value_S = np.array([-1.0, 2.0, 0.5, 1.0])  # mean 0.625, t(3) 1.25 / 2 = 1.99 around it
    interval = jackknife_ratio_interval(1.0, 0.625, np.ones(4), leave_one_out_means(value_S))
    assert math.isnan(interval.value)


def test_no_interval_from_one_source() -> None:
    with pytest.raises(ValueError, match="expected at least 2 sources for an interval, got 1"):
        jackknife_interval(1.0, np.array([1.0]))

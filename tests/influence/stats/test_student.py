import math

import numpy as np
import pytest
from scipy import stats

from influence.stats.interval import Interval
from influence.stats.student import mean_interval, ratio_interval


def test_mean_interval_is_scipys() -> None:
    value_W = np.array([0.3, -1.2, 2.5, 0.1, 0.9])
    expected = stats.ttest_1samp(value_W, 0).confidence_interval(0.95)
    interval = mean_interval(value_W)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert interval.value == pytest.approx(0.52)


def test_ratio_interval_by_hand() -> None:
    # R = mean(17, 19, 18) / mean(8, 9, 10) = 18 / 9 = 2; u = (17 - 16, 19 - 18, 18 - 20) / 9, so
    # s_u = sqrt(6 / 2) / 9 and the half width is t(2) s_u / sqrt(3) = t(2) / 9 with t(2) = 4.302653.
    interval = ratio_interval(np.array([17.0, 19.0, 18.0]), np.array([8.0, 9.0, 10.0]))
    half = 4.302653 / 9
    assert interval.value == 2
    assert (interval.low, interval.high) == pytest.approx((2 - half, 2 + half), rel=1e-6)


def test_ratio_is_of_means_not_a_mean_of_ratios() -> None:
    # mean(1, 1) / mean(1, 3) = 1/2, whereas mean(1/1, 1/3) = 2/3; n = 60 keeps the denominator away from 0.
    interval = ratio_interval(np.ones(60), np.tile([1.0, 3.0], 30))
    assert interval.value == 0.5


def test_ratio_over_a_constant_is_the_mean_over_it() -> None:
    value_W = np.array([0.3, -1.2, 2.5, 0.1, 0.9])
    mean, ratio = mean_interval(value_W), ratio_interval(value_W, np.full(5, -4.0))
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((mean.value / -4, mean.high / -4, mean.low / -4))


def test_ratio_interval_covers() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        denominator_W = rng.normal(2, 0.4, 20)
        interval = ratio_interval(1.5 * denominator_W + rng.normal(0, 1, 20), denominator_W)
        hits += interval.low <= 1.5 <= interval.high
    assert abs(hits / 1000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 1000)


@pytest.mark.parametrize(
    ("denominator", "defined"),
    # t(3) s / sqrt(4) = 3.1824 * 1.1547 / 2 = 1.837 around the mean: just below and just above 0.
    [([0.8, 0.8, 2.8, 2.8], False), ([0.9, 0.9, 2.9, 2.9], True), ([-0.9, -0.9, -2.9, -2.9], True)],
)
def test_ratio_is_undefined_when_the_interval_of_the_denominator_touches_zero(
    denominator: list[float], defined: bool
) -> None:
    assert math.isnan(ratio_interval(np.ones(4), np.array(denominator)).value) is not defined


def test_no_interval_from_one_unit() -> None:
    with pytest.raises(ValueError, match="expected at least 2 units for an interval, got 1"):
        mean_interval(np.array([1.0]))


def test_an_interval_of_nothing_known_touches_zero() -> None:
    assert Interval(1.0, math.nan, math.nan).touches_zero()
    assert Interval(0.0, 0.0, 0.0).touches_zero()
    assert not Interval(1.0, 0.5, 1.5).touches_zero()

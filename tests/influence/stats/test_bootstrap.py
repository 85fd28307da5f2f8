import math

import numpy as np
import pytest
from scipy import stats

from influence.stats.bootstrap import bootstrap_ratio_interval


def bca(numerator_W: np.ndarray, denominator_W: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Efron's interval written out: bias from the share of draws below the value, acceleration from the jackknife."""
    count = len(numerator_W)
    value = numerator_W.mean() / denominator_W.mean()
    rows = rng.integers(count, size=(20_000, count))
    drawn = numerator_W[rows].mean(1) / denominator_W[rows].mean(1)
    without = np.array(
        [np.delete(numerator_W, unit).mean() / np.delete(denominator_W, unit).mean() for unit in range(count)]
    )
    pull = without.mean() - without
    acceleration = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    bias = stats.norm.ppf((drawn < value).mean())
    ends = []
    for level in (0.025, 0.975):
        shifted = bias + stats.norm.ppf(level)
        ends.append(np.quantile(drawn, stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))))
    return ends[0], ends[1]


def test_agrees_with_the_interval_written_out() -> None:
    rng = np.random.default_rng(0)
    denominator_W = rng.lognormal(0, 0.5, 60)
    numerator_W = 0.5 * denominator_W + rng.exponential(0.3, 60)
    found = bootstrap_ratio_interval(numerator_W, denominator_W, np.random.default_rng(1))
    low, high = bca(numerator_W, denominator_W, np.random.default_rng(2))
    assert found.value == numerator_W.mean() / denominator_W.mean()
    # Ends of two bootstraps differ by their random draws: 1 % of the width is four standard errors of a quantile.
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03 * (high - low))
    assert found.high - found.value > found.value - found.low  # skewed units, skewed interval


def test_is_undefined_with_few_units_or_without_spread() -> None:
    few = np.random.default_rng(0).normal(1, 0.1, 39)
    assert math.isnan(bootstrap_ratio_interval(few, np.ones(39), np.random.default_rng(0)).low)
    assert math.isnan(bootstrap_ratio_interval(np.ones(50), np.ones(50), np.random.default_rng(0)).low)

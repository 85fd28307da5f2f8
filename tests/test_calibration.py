"""Intervals cover and p-values are uniform, at the sizes used: ten and forty units, 2,000 draws each."""

import numpy as np
import pytest

from influence.seeds import generator
from influence.stats.sign_flip import sign_flip_p
from influence.stats.student import mean_interval, ratio_interval

DRAWS = 2000
COVERAGE = (0.93, 0.97)


def coverage(intervals, truth: float) -> float:
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


@pytest.mark.verify
@pytest.mark.parametrize("count", [10, 40])
def test_the_interval_of_a_mean_covers_it(count):
    values = generator(0, "mean", count).normal(1.0, 0.5, (DRAWS, count))
    assert COVERAGE[0] <= coverage(map(mean_interval, values), 1.0) <= COVERAGE[1]


@pytest.mark.verify
@pytest.mark.parametrize("count", [10, 40])
def test_the_interval_of_a_ratio_covers_it(count):
    """Numerator and denominator share their units: N = 0.7 D + noise, so that the ratio of means is 0.7."""
    random = generator(0, "ratio", count)
    denominator = random.normal(2.0, 0.3, (DRAWS, count))
    numerator = 0.7 * denominator + random.normal(0.0, 0.2, (DRAWS, count))
    assert COVERAGE[0] <= coverage(map(ratio_interval, numerator, denominator), 0.7) <= COVERAGE[1]


@pytest.mark.verify
@pytest.mark.parametrize("count", [10, 40])
@pytest.mark.parametrize("level", [0.05, 0.2, 0.5])
def test_sign_flips_reject_a_true_null_as_often_as_they_say(count, level):
    """Within four standard errors of the level; exact enumeration at ten units has steps of 1/512."""
    contrasts = generator(0, "null", count).normal(0.0, 1.0, (DRAWS // 4, count))
    p = np.array([sign_flip_p(contrast, generator(0, "signs", draw)) for draw, contrast in enumerate(contrasts)])
    error = np.sqrt(level * (1 - level) / len(p))
    assert abs((p <= level).mean() - level) <= 4 * error + 1 / 512

import math

import numpy as np
import pytest
from scipy import stats

from influence.stats.equivalence import equivalence_p


def test_is_the_larger_of_two_one_sided_t_tests() -> None:
    value_W = np.random.default_rng(0).normal(1.02, 0.1, 12)
    above = stats.ttest_1samp(value_W, 0.9, alternative="greater").pvalue
    below = stats.ttest_1samp(value_W, 1.1, alternative="less").pvalue
    assert equivalence_p(value_W, center=1.0, margin=0.1) == pytest.approx(max(above, below))


@pytest.mark.parametrize("seed", range(20))
def test_is_below_5_percent_exactly_where_the_90_percent_interval_lies_inside(seed: int) -> None:
    value_W = np.random.default_rng(seed).normal(0.05, 0.1, 10)
    half = stats.t.ppf(0.95, 9) * value_W.std(ddof=1) / math.sqrt(10)
    inside = value_W.mean() - half > -0.1 and value_W.mean() + half < 0.1
    assert (equivalence_p(value_W, center=0.0, margin=0.1) < 0.05) == inside


@pytest.mark.parametrize("value_W", [np.zeros(1), np.zeros(5)])
def test_is_undefined_without_spread(value_W: np.ndarray) -> None:
    assert math.isnan(equivalence_p(value_W, center=0.0, margin=0.1))

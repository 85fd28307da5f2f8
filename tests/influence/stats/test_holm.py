"""Holm's correction against statsmodels and by hand."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from influence.stats.holm import holm


def test_by_hand() -> None:
    """.01 x 3, then .03 x 2, then .04 x 1, which may not fall below the one before."""
    assert holm(np.array([0.04, 0.01, 0.03])).tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("count", [1, 2, 15])
def test_as_statsmodels(count: int) -> None:
    p_M = np.random.default_rng(count).choice([0.001, 0.004, 0.01, 0.02, 0.3], size=count)
    assert holm(p_M) == pytest.approx(multipletests(p_M, method="holm")[1], rel=1e-12)

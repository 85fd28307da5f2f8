"""Intervals cover and p-values are uniform, at the sizes used; the table of it is kept and shown in the README."""

import pandas as pd
import pytest

from experiments import calibration
from experiments.published import PUBLISHED
from influence.stats import student


def kept() -> pd.DataFrame:
    return pd.read_csv(PUBLISHED / calibration.FILE)


def test_every_rate_lies_in_its_band() -> None:
    table = kept()
    outside = table[(table["rate"] < table["low"]) | (table["rate"] > table["high"])]
    assert outside.empty, outside.to_string()


def test_what_the_methods_guard_against_is_shown() -> None:
    """Cells are no units, and distances that share a control with the gains are no effect."""
    rate = kept().groupby("what")["rate"].first()
    assert rate["cells as if independent covers"] < 0.8  # where rows and columns have effects
    assert rate["permutation without controls, p <= 0.05"] > 0.3


def test_intervals_too_narrow_leave_their_band(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 90 % in place of 95 %, that is."""
    rate = next(calibration.intervals())
    assert rate.low <= rate.rate <= rate.high
    monkeypatch.setattr(student, "CONFIDENCE", 0.90)
    narrow = next(calibration.intervals())
    assert narrow.rate < narrow.low


@pytest.mark.verify
def test_the_table_is_made_anew() -> None:
    pd.testing.assert_frame_equal(calibration.calibration(), kept(), check_dtype=False)

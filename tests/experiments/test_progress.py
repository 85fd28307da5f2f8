"""The bar of a measurement: what was found is done, but tells nothing of the time left."""

import math
from functools import partial

import pytest
from tqdm import tqdm

from experiments import progress
from experiments.progress import ProgressBar


@pytest.mark.parametrize("disabled", [False, True])  # as TQDM_DISABLE=1 does
def test_the_time_left_is_that_of_probes_measured_here(monkeypatch, capsys, disabled):
    monkeypatch.setattr(progress, "tqdm", partial(tqdm, disable=disabled))
    clock = iter([100.0, 104.0, 110.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    with ProgressBar() as bar:
        bar(30, 40)
        assert math.isnan(bar.seconds_left)
        bar(32, 40)
        assert bar.seconds_left == 2.0 * 8
        bar(35, 40)
        assert bar.seconds_left == 2.0 * 5
    assert ("30/40" in capsys.readouterr().err) == (not disabled)

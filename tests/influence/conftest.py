"""Three probes and five targets: a square matrix would hide a transpose."""

import pandas as pd
import pytest

from tests.small import random_samples


@pytest.fixture
def probes() -> pd.DataFrame:
    return random_samples(3, "probe")


@pytest.fixture
def targets() -> pd.DataFrame:
    return random_samples(5, "target")


@pytest.fixture
def many() -> pd.DataFrame:
    """Seven probes: blocks of 2 leave a rest of one."""
    return random_samples(7, "probe")

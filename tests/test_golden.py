"""Numbers change only on purpose."""

import json

import numpy as np
import pytest

from tests.golden.digits import GOLDEN, results


def test_results_are_what_they_were():
    golden, now = json.loads(GOLDEN.read_text()), results()
    assert now["results_version"] == golden["results_version"], "write tests/golden anew: python -m tests.golden.digits"
    assert now["ids"] == golden["ids"]
    for name, lr in golden["lr"].items():
        assert now["lr"][name] == pytest.approx(lr, rel=1e-4)
        assert np.abs(np.array(now["gain"][name]) - golden["gain"][name]).max() < 1e-5  # float32, other processors


def test_the_changelog_knows_the_version():
    version = json.loads(GOLDEN.read_text())["results_version"]
    changelog = (GOLDEN.parents[2] / "CHANGELOG.md").read_text()
    assert f"\n| {version} |" in changelog.split("## Results changed")[1]

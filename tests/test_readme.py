"""The README's Python runs as it stands, from top to bottom."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from influence.desiderata import SCORES


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, Any]]:
    """What the examples leave behind."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    found: dict[str, Any] = {}
    before = dict(SCORES)
    for example in re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL):
        exec(compile(example, "README.md", "exec"), found)
    yield found
    SCORES.clear()
    SCORES.update(before)


def test_the_example_measures_what_it_says(names):
    matrix = names["matrix"]
    assert matrix.gain.shape == (4, 12)
    # Each probe is a target too, and learning it makes it more likely.
    assert (matrix.gain[np.arange(4), np.arange(4)] > 0).all()


def test_a_score_of_ones_own_has_interval_verdict_and_card(names):
    (row,) = names["focused"].to_dict("records")
    alone = [np.mean(np.diag(matrix.gain) / np.abs(matrix.gain).sum(1)) for matrix in names["matrices"]]
    half = 2.3646 * np.std(alone, ddof=1) / np.sqrt(8)  # Student's t of 7 degrees of freedom
    assert [row["value"], row["low"], row["high"]] == pytest.approx(
        [np.mean(alone), np.mean(alone) - half, np.mean(alone) + half], rel=1e-4
    )
    assert (round(row["value"], 2), round(row["low"], 2), round(row["high"], 2)) == (0.79, 0.78, 0.81)
    assert (row["n"], row["unit_of_n"], row["verdict"]) == (8, "seeds", "satisfied")
    assert names["card"].scores[["row", "estimator", "overall"]].to_numpy().tolist() == [["focus", "SGD", "satisfied"]]

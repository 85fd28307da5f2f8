"""The README's Python runs as it stands."""

import re
from pathlib import Path

import numpy as np


def test_the_example_measures_what_it_says():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    matrix = names["matrix"]
    assert matrix.gain.shape == (4, 12)
    # Each probe is a target too, and learning it makes it more likely.
    assert (matrix.gain[np.arange(4), np.arange(4)] > 0).all()

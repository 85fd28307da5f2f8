"""A small matrix whose every number is kept: `python -m tests.golden.digits` writes it anew.

Only together with a raised `RESULTS_VERSION` and an entry in the changelog's "Results changed".
"""

import json
from pathlib import Path
from typing import Any

from experiments.identity import RESULTS_VERSION
from influence import FineTune, measure
from influence.data.selection import Selection, select
from influence.data.vision import load
from influence.models.base import initialise
from influence.models.cnn import CNN

GOLDEN = Path(__file__).with_suffix(".json")


def results() -> dict[str, Any]:
    """Ten digits, clean and noisy, for an untrained network: learned with SGD and Adam at fixed self-gain."""
    samples = select(load("digits", "test", Path()), Selection(per_class=1, seed=0, sigmas=(0.0, 0.5)))
    model = initialise(lambda: CNN(image_size=8), seed=0)
    matrices = {
        optimizer: measure(model, samples[:3], samples[8:13], estimator=FineTune(optimizer=optimizer, self_gain=0.3))
        for optimizer in ("sgd", "adam")
    }
    return {
        "results_version": RESULTS_VERSION,
        "ids": [*samples["id"]],
        "lr": {name: matrix.estimator["lr"] for name, matrix in matrices.items()},
        "gain": {name: matrix.gain.tolist() for name, matrix in matrices.items()},
    }


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(results(), indent=1) + "\n")

"""Tables of the image experiments, from published runs."""

from pathlib import Path

import pandas as pd

from experiments.published import OPTIMIZERS, fig1_step_sizes
from experiments.tables import by_score, cell, condition_label, markdown

STEP_SIZE_SCORES = [
    ("asymmetry_index", ""),
    ("reciprocity", ""),
    ("class_block", ""),
    ("class_block_beyond_softmax", ""),
    ("noise_discount", "sigma=1"),
    ("selectivity", "sigma=1"),
]


def step_sizes(published: Path) -> str:
    """The main scores at three self-gains, one base model, intervals over its images."""
    runs = fig1_step_sizes(published)
    tables = {key: by_score(pd.read_parquet(folder / "scores.parquet")) for key, folder in runs.items()}
    header = ["score", *(f"{OPTIMIZERS[optimizer]}, {gain:g} nat" for optimizer, gain in tables)]
    return markdown(
        header, [[condition_label(*key), *(cell(table, key) for table in tables.values())] for key in STEP_SIZE_SCORES]
    )

"""Tables of the image experiment, from published runs."""

from pathlib import Path

import pandas as pd

from experiments.markdown import by_score, cell, markdown
from experiments.published import IMAGE_OPTIMIZERS, OPTIMIZERS, fig1_step_sizes, seeds
from experiments.score import condition_label
from influence.desiderata.scoring import score
from influence.matrix import InfluenceMatrix

CLAIMS: dict[tuple[str, str], str] = {
    ("asymmetry_index", ""): "the matrix is roughly symmetric (2.1)",
    ("reciprocity", ""): "",
    ("gauge_share", ""): "",
    ("class_block", ""): "digits inform their own class most (2.1)",
    ("class_block_beyond_softmax", ""): "",
    ("class_pair_rank", "learned=2, read=9"): "learning 2 influences 9 (2.1)",
    ("noise_discount", "sigma=0.5"): "noise is not discounted (2.1, Eqs. 5, 6)",
    ("noise_discount", "sigma=1"): "",
    ("selectivity", "sigma=1"): "",
    ("selectivity_per_headroom", "sigma=1"): "",
    ("invariance", "sigma=1"): "",
    ("self_gain_is_largest", ""): "even the same stimulus is not always learned most (4)",
}
"""Scores of the image experiment by name and condition, and the claim of the paper that each speaks to."""

STEP_SIZE_SCORES = [
    ("asymmetry_index", ""),
    ("reciprocity", ""),
    ("class_block", ""),
    ("class_block_beyond_softmax", ""),
    ("noise_discount", "sigma=1"),
    ("selectivity", "sigma=1"),
]


def claims(published: Path) -> str:
    """The paper's claims about images: scores over base-model seeds, SGD beside Adam."""
    columns = {
        optimizer: by_score(score([InfluenceMatrix.load(run) for run in seeds(published / "fig1_claims", optimizer)]))
        for optimizer in IMAGE_OPTIMIZERS
    }
    rows = [
        [claim, condition_label(*key), *(cell(columns[optimizer], key) for optimizer in IMAGE_OPTIMIZERS)]
        for key, claim in CLAIMS.items()
    ]
    return markdown(["the paper's claim", "score", *(OPTIMIZERS[optimizer] for optimizer in IMAGE_OPTIMIZERS)], rows)


def step_sizes(published: Path) -> str:
    """The main scores at three self-gains, one base model, intervals over its images."""
    runs = fig1_step_sizes(published)
    tables = {key: by_score(pd.read_parquet(folder / "scores.parquet")) for key, folder in runs.items()}
    header = ["score", *(f"{OPTIMIZERS[optimizer]}, {gain:g} nat" for optimizer, gain in tables)]
    return markdown(
        header, [[condition_label(*key), *(cell(table, key) for table in tables.values())] for key in STEP_SIZE_SCORES]
    )

"""The tables of the README, written between markers from `outputs/published/` alone."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from experiments.plateau import plateau_table
from experiments.published import IMAGE_OPTIMIZERS, OPTIMIZERS, fig1_step_sizes, seeds
from experiments.score import condition_label, number
from influence.desiderata.scoring import score
from influence.files import write_atomically
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


def write_readme(readme: Path, published: Path) -> Path:
    """Write every table of the README anew; the text around the markers stays.

    Raises:
        ValueError: the README lacks the markers of a table.
    """
    text = readme.read_text()
    for name, make in TABLES.items():
        text = replace_table(text, name, make(published))
    if text != readme.read_text():
        write_atomically(readme, lambda path: path.write_text(text))
    return readme


def replace_table(text: str, name: str, table: str) -> str:
    """The text with what stands between `<!-- table: name -->` and `<!-- end -->` replaced."""
    pattern = rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)"
    replaced, count = re.subn(pattern, lambda match: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"expected the markers of the table {name!r} once in the README, got {count}; restore them")
    return replaced


def claims(published: Path) -> str:
    """The paper's claims about images: scores over base-model seeds, SGD beside Adam."""
    columns = {
        optimizer: _by_score(score([InfluenceMatrix.load(run) for run in seeds(published / "fig1_claims", optimizer)]))
        for optimizer in IMAGE_OPTIMIZERS
    }
    rows = [
        [claim, condition_label(*key), *(_cell(columns[optimizer], key) for optimizer in IMAGE_OPTIMIZERS)]
        for key, claim in CLAIMS.items()
    ]
    return _markdown(["the paper's claim", "score", *(OPTIMIZERS[optimizer] for optimizer in IMAGE_OPTIMIZERS)], rows)


def step_sizes(published: Path) -> str:
    """The main scores at three self-gains, one base model, intervals over its images."""
    runs = fig1_step_sizes(published)
    tables = {key: _by_score(pd.read_parquet(folder / "scores.parquet")) for key, folder in runs.items()}
    header = ["score", *(f"{OPTIMIZERS[optimizer]}, {gain:g} nat" for optimizer, gain in tables)]
    return _markdown(
        header, [[condition_label(*key), *(_cell(table, key) for table in tables.values())] for key in STEP_SIZE_SCORES]
    )


def plateau(published: Path) -> str:
    """Where the plateau of learning rates lies."""
    rows = []
    for (model, optimizer), table in plateau_table(published / "lr_plateau").groupby(["model", "optimizer"]):
        on, chosen = table[table["on_plateau"]], table[table["chosen"]]
        rows.append(
            [
                f"{model}, {OPTIMIZERS.get(str(optimizer), optimizer)}",
                f"{on['lr'].min():.3g} to {on['lr'].max():.3g}" if len(on) else "none",
                f"{chosen['lr'].iloc[0]:.3g}" if len(chosen) else "none",
                number(chosen["median_self_gain"].iloc[0]) if len(chosen) else "",
            ]
        )
    return _markdown(["model, optimiser", "plateau", "chosen", "median self-gain there (nats)"], rows)


TABLES: Mapping[str, Callable[[Path], str]] = {"claims": claims, "step sizes": step_sizes, "plateau": plateau}


def _by_score(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index(["score", "condition"])


def _cell(table: pd.DataFrame, key: tuple[str, str]) -> str:
    row = table.loc[[key]].iloc[0]
    if pd.isna(row["value"]):
        return "undefined"
    interval = "" if pd.isna(row["low"]) else f" [{number(row['low'])}, {number(row['high'])}]"
    return f"{number(row['value'])}{interval}"


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

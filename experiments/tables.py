"""Scores as text: numbers with intervals, and tables that are aligned or in Markdown."""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd


def number(value: float) -> str:
    """Three digits, or a dash for what is undefined."""
    return "-" if pd.isna(value) else f"{value:.3g}"


def condition_label(score: str, condition: str) -> str:
    """`noise_discount[sigma=1]`."""
    return f"{score}[{condition}]" if condition else score


def slug(name: str) -> str:
    """A name as a part of file names: `gemma_3_270m`."""
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def interval(row: Any) -> str:
    """`value`, and `low` and `high` where they are known."""
    if pd.isna(row["value"]):
        return "undefined"
    ends = "" if pd.isna(row["low"]) else f" [{number(row['low'])}, {number(row['high'])}]"
    return f"{number(row['value'])}{ends}"


def by_score(table: pd.DataFrame) -> pd.DataFrame:
    """A table of scores, to be looked up by score and condition."""
    return table.set_index(["score", "condition"])


def cell(table: pd.DataFrame, key: tuple[str, str]) -> str:
    """One score of a table of `by_score`, with its interval."""
    return interval(table.loc[[key]].iloc[0])


def scores_table(frame: pd.DataFrame) -> str:
    """Scores as aligned text: name, value with its interval and unit, p, units, verdict and note.

    What is undefined stands below, the scores of one reason in a line.
    """
    header = ["score", "value", "95 % interval", "unit", "p", "n", "verdict", "note"]
    rows = [
        [
            condition_label(row["score"], row["condition"]),
            number(row["value"]),
            "" if pd.isna(row["low"]) else f"{number(row['low'])} to {number(row['high'])}",
            row["unit"],
            "" if pd.isna(row["p"]) else f"{row['p']:.4f}",
            f"{row['n']} {row['unit_of_n']}",
            row["verdict"],
            row["note"],
        ]
        for row in frame[frame["value"].notna()].to_dict("records")
    ]
    undefined = frame[frame["value"].isna()]
    labels = [condition_label(*key) for key in zip(undefined["score"], undefined["condition"], strict=True)]
    reasons = pd.Series(labels, dtype=str).groupby(undefined["note"].to_numpy(), sort=False).agg(", ".join)
    return "\n".join([aligned(header, rows), *(f"{scores}: {reason}" for reason, scores in reasons.items())])


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns begin below each other."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a line for each row."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

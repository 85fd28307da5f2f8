"""Scores as tables of Markdown."""

from typing import Any

import pandas as pd

from experiments.score import number


def by_score(table: pd.DataFrame) -> pd.DataFrame:
    """A table of scores, to be looked up by score and condition."""
    return table.set_index(["score", "condition"])


def cell(table: pd.DataFrame, key: tuple[str, str]) -> str:
    """One score of a table of `by_score`, with its interval."""
    return interval(table.loc[[key]].iloc[0])


def interval(row: Any) -> str:
    """`value`, and `low` and `high` where they are known."""
    if pd.isna(row["value"]):
        return "undefined"
    ends = "" if pd.isna(row["low"]) else f" [{number(row['low'])}, {number(row['high'])}]"
    return f"{number(row['value'])}{ends}"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table with a line for each row."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

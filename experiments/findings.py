"""What published runs say about a claim: statistics with intervals, and the values at which a claim holds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from experiments.plateau import plateau_table
from experiments.published import OPTIMIZERS
from experiments.run_folder import find_runs
from experiments.run_sets import RunSet, run_sets
from experiments.tables import condition_label, interval, number
from influence.desiderata.registry import SCORES
from influence.desiderata.scoring import compare, score
from influence.desiderata.units import in_worlds
from influence.desiderata.verdict import VOID
from influence.matrix import InfluenceMatrix

HOLDS, FAILS, UNDECIDED, NOT_MEASURED = "holds", "does not hold", "undecided", "not measured"
MARKS = {HOLDS: "✓", FAILS: "✗", UNDECIDED: "?"}

COLUMNS = {"SGD": ("SGD",), "Adam, AdamW": ("Adam", "AdamW"), "prompted": ("prompted",)}
"""Of a table of findings, and the kinds of estimator in each: Adam is for images, AdamW for texts."""

LEARNED, PROMPTED = ("SGD", "Adam, AdamW"), ("prompted",)


@dataclass(frozen=True)
class Values:
    """Open intervals of values at which a claim holds, and how a table writes them."""

    text: str
    ranges: tuple[tuple[float, float], ...]

    def outcome(self, low: float, high: float) -> str:
        """What a 95 % interval says of the claim; nothing is decided by one that is not known, NaN.

        >>> above(0.5).outcome(0.4, 0.6)
        'undecided'
        """
        if any(start < low and high < end for start, end in self.ranges):
            return HOLDS
        return FAILS if all(high <= start or end <= low for start, end in self.ranges) else UNDECIDED


def above(c: float) -> Values:
    """Values above c."""
    return Values(f"> {c:g}", ((c, math.inf),))


def below(c: float) -> Values:
    """Values below c."""
    return Values(f"< {c:g}", ((-math.inf, c),))


def beyond(c: float) -> Values:
    """Values further than c from 0."""
    return Values(f"beyond ±{c:g}", ((-math.inf, -c), (c, math.inf)))


@dataclass(frozen=True)
class Finding:
    """What a statistic came to, as text, and what it says of the claim: "" where it does not decide."""

    text: str
    outcome: str = ""


class Published:
    """Published runs by experiment, each set of them scored once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables: dict[tuple[RunSet, str], pd.DataFrame] = {}

    @cached_property
    def sets(self) -> dict[str, list[RunSet]]:
        """The runs of each experiment."""
        folders = [folder for folder in sorted(self.folder.iterdir()) if any(folder.glob("*/matrix.json"))]
        return {folder.name: run_sets(find_runs([folder])) for folder in folders}

    def find(self, experiment: str, column: str, settings: Mapping[str, Any]) -> RunSet | None:
        """The runs by an estimator of that column with these settings; of several sets that of the most units.

        Statements are learned together, and prompts are in the given order, unless the settings say otherwise.
        """
        wanted = {"statements": "together", "order": "given", **settings}
        found = [
            runs
            for runs in self.sets.get(experiment, [])
            if runs.kind in COLUMNS[column]
            and all(runs.config["estimator"].get(key, value) == value for key, value in wanted.items())
        ]
        return max(found, key=lambda runs: (runs.config["data"].get("worlds", 1), len(runs.folders)), default=None)

    def score(self, runs: RunSet, name: str, condition: str) -> pd.Series:
        """One score of these runs, as in the table of `influence.desiderata.scoring.score`."""
        if (runs, name) not in self._tables:
            self._tables[runs, name] = score(runs.matrices(), [SCORES[name]])
        return _at(self._tables[runs, name], condition)

    def is_void(self, runs: RunSet, name: str) -> bool:
        """Whether the gate of a score fails in these runs."""
        self.score(runs, name, "")
        return bool((self._tables[runs, name]["verdict"] == VOID).any())


@dataclass(frozen=True)
class Value:
    """A score at a condition.

    Attributes:
        experiment: whose runs are read.
        holds: values at which the claim holds; None where the score explains and does not decide.
        settings: of the estimator, that the runs have.
        columns: that have a value.
    """

    experiment: str
    score: str
    condition: str = ""
    holds: Values | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = tuple(COLUMNS)

    @property
    def label(self) -> str:
        """The score, its condition and the settings."""
        return ", ".join([condition_label(self.score, self.condition), *map(_setting, self.settings.items())])

    def read(self, published: Published, column: str) -> Finding | None:
        """The score with its interval; it decides nothing where its gate failed."""
        runs = published.find(self.experiment, column, self.settings)
        if runs is None:
            return None
        row = published.score(runs, self.score, self.condition)
        if row.get("verdict") == VOID:
            return Finding(f"{interval(row)}, void", UNDECIDED if self.holds else "")
        return _finding(row, self.holds)


@dataclass(frozen=True)
class Difference:
    """How much higher a score is by one estimator than by another, in the worlds that both were measured in.

    Attributes:
        experiment, holds, columns: see `Value`.
        what: is subtracted from what: "prompted minus learned".
        gated_by: a score without which, void on either side, nothing is compared.
        left, right: settings of the estimators; `column` names that of another column.
    """

    experiment: str
    score: str
    what: str
    left: Mapping[str, Any]
    right: Mapping[str, Any]
    condition: str = ""
    gated_by: str = ""
    holds: Values | None = None
    columns: tuple[str, ...] = LEARNED

    @property
    def label(self) -> str:
        """The score and what is compared."""
        return f"{condition_label(self.score, self.condition)}, {self.what}"

    def read(self, published: Published, column: str) -> Finding | None:
        """The difference with its interval."""
        sides = []
        for settings in (self.left, self.right):
            wanted = {"column": column, **settings}
            runs = published.find(self.experiment, wanted.pop("column"), wanted)
            if runs is None:
                return None
            sides.append(runs)
        left, right = _shared(*(runs.matrices() for runs in sides))
        found = _finding(_at(compare(left, right, [SCORES[self.score]]), self.condition), self.holds)
        if self.gated_by and any(published.is_void(runs, self.gated_by) for runs in sides):
            return replace(found, text=f"{found.text}, void", outcome=UNDECIDED if self.holds else "")
        return found


@dataclass(frozen=True)
class Plateau:
    """Whether there is a plateau of learning rates, by the rule of `influence.plateau`; see `Value`."""

    experiment: str
    holds: Values | None = Values("one is found", ())
    columns: tuple[str, ...] = LEARNED
    label: str = "plateau of learning rates"

    def read(self, published: Published, column: str) -> Finding | None:
        """The learning rates on it."""
        if self.experiment not in published.sets:
            return None
        table = plateau_table([published.folder / self.experiment])
        rates = table[table["optimizer"].map(OPTIMIZERS).isin(COLUMNS[column])]
        on = rates.loc[rates["on_plateau"], "lr"]
        if not len(rates):
            return None
        return Finding(f"{number(on.min())} to {number(on.max())}", HOLDS) if len(on) else Finding("none", FAILS)


Statistic: TypeAlias = Value | Difference | Plateau
"""What is read of published runs."""


def _finding(row: pd.Series, holds: Values | None) -> Finding:
    return Finding(interval(row), "" if holds is None else holds.outcome(row["low"], row["high"]))


def _at(table: pd.DataFrame, condition: str) -> pd.Series:
    """The row of a condition; one of NaN where the samples do not have it."""
    found = table[table["condition"] == condition]
    return found.iloc[0] if len(found) else pd.Series({"value": math.nan, "low": math.nan, "high": math.nan})


def _shared(left: list[InfluenceMatrix], right: list[InfluenceMatrix]) -> list[list[InfluenceMatrix]]:
    """Both sides in the worlds that both have."""
    worlds = set.intersection(
        *({world for matrix in side for world in matrix.probes["world"]} for side in (left, right))
    )
    return [[in_worlds(matrix, worlds) for matrix in side] for side in (left, right)]


def _setting(setting: tuple[str, Any]) -> str:
    name, value = setting
    return f"{name.replace('_', '-')} {value}"

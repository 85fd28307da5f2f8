"""The table of crossed chains: every published run of them in a row, by domain, estimator and way to learn."""

from pathlib import Path

import pandas as pd

from experiments.published import CHAINS
from experiments.run_folder import find_runs
from experiments.run_sets import RunSet, run_sets
from experiments.tables import by_score, interval, markdown
from influence.desiderata.scoring import score
from influence.desiderata.transitivity import SHARE

SHOWN = {
    "transitivity": "transitivity T",
    "transitivity_margin": f"least margin, T - {SHARE:g} D",
    "link_strength": "weakest link D",
    "transitivity_broken": "broken chains",
}
"""Scores and what the table calls them; of the links' that of the least stands there."""


def chains(published: Path) -> str:
    """What follows, beside what it is composed of; runs of many worlds before those of few."""
    folders = [folder for name in CHAINS if (published / name).exists() for folder in find_runs([published / name])]
    runs = sorted(run_sets(folders), key=lambda one: (one.domain, -one.config["data"]["worlds"], one.kind, one.label))
    header = ["domain", "estimator", "links", "worlds", *SHOWN.values()]
    return markdown(header, [_row(one) for one in runs])


def _row(runs: RunSet) -> list[str]:
    data, settings = runs.config["data"], runs.config["estimator"]
    steps = settings.get("num_steps", 1)
    how = [runs.kind, runs.unusual, f"{steps} step{'s' if steps > 1 else ''}" if "num_steps" in settings else ""]
    table = by_score(score(runs.matrices(), list(SHOWN)))
    cells = [_least(table.loc[[name]]) if name in table.index else "" for name in SHOWN]
    return [runs.domain, ", ".join(filter(None, how)), f"{data['length']}", f"{data['worlds']}", *cells]


def _least(rows: pd.DataFrame) -> str:
    """The score of the link of which it is least; nothing where it cannot be computed."""
    defined = rows.dropna(subset="value").sort_values("value")
    return interval(defined.iloc[0]) if len(defined) else ""

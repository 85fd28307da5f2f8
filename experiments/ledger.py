"""The findings ledger: whether every claim of Matelsky et al. 2024 holds here, and by which statistics.

By an estimator a claim holds where the whole 95 % interval of each statistic that decides it lies among the values that
`experiments.claims` names, does not hold where that of one lies wholly outside, is not measured where none of them is
published, and is undecided otherwise.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pandas as pd

from experiments.claims import CLAIMS
from experiments.findings import COLUMNS, FAILS, MARKS, NOT_MEASURED, UNDECIDED, Finding, Published
from experiments.tables import markdown


@cache
def ledger_table(folder: Path) -> pd.DataFrame:
    """Every claim with its verdicts, and below it the statistics that speak to it, from published runs.

    Returns:
        Columns `claim`, `where`, `statistic` ("" in the row of the claim itself), `experiment`, `holds` (the values at
        which it holds) and those of `COLUMNS`.
    """
    published, rows = Published(folder), []
    for claim in CLAIMS:
        lines, deciding = [], {column: list[Finding | None]() for column in claim.columns}
        for statistic in claim.statistics:
            cells = []
            for column in COLUMNS:
                if column not in statistic.columns:
                    cells.append("")
                    continue
                finding = statistic.read(published, column)
                if column in deciding and statistic.holds:
                    deciding[column].append(finding)
                cells.append(_cell(finding, is_meant=column in deciding))
            holds = statistic.holds.text if statistic.holds else ""
            lines.append([claim.text, claim.where, statistic.label, statistic.experiment, holds, *cells])
        verdicts = [verdict(deciding[column]) if column in deciding else "" for column in COLUMNS]
        rows += [[claim.text, claim.where, "", "", "", *verdicts], *lines]
    return pd.DataFrame(rows, columns=["claim", "where", "statistic", "experiment", "holds", *COLUMNS])


def claims(folder: Path) -> str:
    """Every claim with its verdicts alone, in Markdown."""
    table = ledger_table(folder)
    heads = table[table["statistic"] == ""]
    return markdown(["claim", "where", *COLUMNS], heads[["claim", "where", *COLUMNS]].to_numpy().tolist())


def ledger(folder: Path) -> str:
    """The table of the ledger in Markdown, claims and their verdicts in bold."""
    lines = []
    for claim, where, statistic, *cells in ledger_table(folder).to_numpy().tolist():
        bold = [f"**{cell}**" if cell and not statistic else cell for cell in cells]
        lines.append([statistic or f"**{claim}** ({where})", *bold])
    return markdown(["claim, and what speaks to it", "experiment", "holds where", *COLUMNS], lines)


def verdict(findings: Sequence[Finding | None]) -> str:
    """Whether a claim holds by the findings that decide it, None those that are not published.

    >>> verdict([Finding("0.8 [0.7, 0.9]", HOLDS), None])
    'undecided'
    """
    outcomes = {NOT_MEASURED if finding is None else finding.outcome for finding in findings}
    if FAILS in outcomes:
        return FAILS
    return outcomes.pop() if len(outcomes) == 1 else UNDECIDED


def _cell(finding: Finding | None, *, is_meant: bool) -> str:
    """A finding by an estimator that the claim is about, or by another, which decides nothing."""
    if finding is None:
        return NOT_MEASURED if is_meant else ""
    return f"{finding.text} {MARKS[finding.outcome]}" if is_meant and finding.outcome else finding.text

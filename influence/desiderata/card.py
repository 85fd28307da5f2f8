"""The desiderata card of a model: what its primary scores come to, by desideratum and estimator."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from influence.desiderata.verdict import DESCRIPTIVE, SATISFIED, UNDECIDED, VIOLATED, VOID, judge

TRANSITIVITY = "transitivity and causality"

DESIDERATA = {
    "semantics": "semantics",
    "sparsity": "sparsity",
    "noise": "noise",
    "selectivity": "selectivity",
    TRANSITIVITY: "transitivity",
    "compositionality": "compositionality",
    "ontology": "ontology",
    "logical consistency": "logical consistency",
}
"""Names of the rows, in the order of a card; desiderata of one's own come after."""

COMPOSITIONAL = {"containment"}
"""Domains whose chains are of parts: transitivity is there called compositionality."""

VERDICTS = (SATISFIED, VIOLATED, UNDECIDED, VOID, DESCRIPTIVE)

ROW = ["desideratum", "domain"]
CELL = ["domain", "score", "condition"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Card:
    """The primary scores of one model.

    Attributes:
        scores: one row a desideratum, domain, score, condition and estimator, in the order of the card; the columns of
            `influence.desiderata.scoring.score` and

            =========  ===============================================================================
            domain     that the score is measured in, or ""
            estimator  how the influence was obtained
            row        the desideratum and its domain, as the card names them: "transitivity (causal)"
            verdict    of the score, corrected for all that are judged of its estimator
            overall    of the desideratum, over its scores in this domain by this estimator
            =========  ===============================================================================
        estimators: in the order of the columns.
        notes: sentences that belong below: how many verdicts of each kind, failed gates, what was left out.
    """

    scores: pd.DataFrame
    estimators: tuple[str, ...]
    notes: tuple[str, ...]


def card(scores: pd.DataFrame) -> Card:
    """The card of a model from the scores of its runs.

    Verdicts are given anew, by `influence.desiderata.verdict.judge` over all that is judged of an estimator. Left out
    are scores that no estimator defines in a domain, and domains where a desideratum is only described while it is
    judged in another; the notes name the latter, and what is defined in no domain.

    >>> card(pd.concat([score(learned).assign(estimator="SGD"), score(prompted).assign(estimator="prompted")]))

    Args:
        scores: tables of `influence.desiderata.scoring.score`, one below the other, with the column `estimator` and, of
            a model measured in several domains, `domain`.

    Raises:
        ValueError: no score has a threshold, or one is given twice by an estimator in a domain.
    """
    primary = scores[scores["threshold"].notna()].reset_index(drop=True)
    if not len(primary):
        raise ValueError("expected scores with a threshold, got none; add some that have a criterion")
    if "domain" not in primary:
        primary["domain"] = ""
    if (repeated := primary.duplicated(["estimator", *CELL])).any():
        name, estimator = primary.loc[repeated, ["score", "estimator"]].iloc[0]
        raise ValueError(f"expected each score once, got {name} twice by {estimator}; choose one of its runs")
    estimators = tuple(primary["estimator"].unique())
    table = pd.concat([judge(part) for _, part in primary.groupby("estimator", sort=False)], ignore_index=True)
    parts = (table["desideratum"] == TRANSITIVITY) & table["domain"].isin(COMPOSITIONAL)
    table["desideratum"] = table["desideratum"].mask(parts, "compositionality")
    names = zip(table["desideratum"], table["domain"], strict=True)
    table["row"] = [DESIDERATA.get(name, name) + (f" ({domain})" if domain else "") for name, domain in names]
    is_defined = _any(table["value"].notna(), table, CELL)
    undefined, table = table[~_any(is_defined, table, ["score"])], table[is_defined]
    table = table.assign(overall=table.groupby([*ROW, "estimator"])["verdict"].transform(overall))
    is_judged = table["overall"] != DESCRIPTIVE
    is_shown = _any(is_judged, table, ROW) | ~_any(is_judged, table, ["desideratum"])
    shown = _in_order(table[is_shown], estimators)
    return Card(
        scores=shown, estimators=estimators, notes=tuple(_notes(shown, estimators, undefined, table[~is_shown]))
    )


def overall(verdicts: Iterable[str]) -> str:
    """Verdict of a desideratum from those of its scores.

    Satisfied where all are; else violated where one is, void where a gate failed, descriptive where one is not judged,
    undecided.

    >>> overall(["satisfied", "violated"])
    'violated'
    """
    found = set(verdicts)
    if found == {SATISFIED}:
        return SATISFIED
    return next((verdict for verdict in (VIOLATED, VOID, DESCRIPTIVE) if verdict in found), UNDECIDED)


def _any(mask: pd.Series, table: pd.DataFrame, by: list[str]) -> pd.Series:
    """Whether the mask holds in any row of the table that agrees in these columns."""
    return mask.groupby([table[name] for name in by]).transform("any")


def _in_order(table: pd.DataFrame, estimators: Sequence[str]) -> pd.DataFrame:
    """Desiderata in the order of a card, all else in the order in which it came."""
    order = {name: dict.fromkeys(table[name]) for name in ("domain", "score", "condition")}
    order = {"desideratum": dict.fromkeys([*DESIDERATA, *table["desideratum"]]), **order}
    order["estimator"] = dict.fromkeys(estimators)
    place = pd.DataFrame({name: table[name].map({one: i for i, one in enumerate(order[name])}) for name in order})
    return table.loc[place.sort_values(list(order), kind="stable").index].reset_index(drop=True)


def _notes(
    shown: pd.DataFrame, estimators: Sequence[str], undefined: pd.DataFrame, described: pd.DataFrame
) -> Iterator[str]:
    for estimator in estimators:
        part = shown[shown["estimator"] == estimator]
        counts = part.drop_duplicates("row")["overall"].value_counts()
        said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if verdict in counts)
        judged = part["p_good"].notna().sum()
        yield f"{estimator}: {said}" + (f"; {judged} scores are judged together." if judged > 1 else ".")
    for verdict in (VOID, DESCRIPTIVE):
        part = shown[shown["verdict"] == verdict]
        reason = part["note"].str.extract(f"{verdict}: ([^;]*)", expand=False)
        for why, rows in part.groupby(reason, sort=False):
            by = rows.groupby("row", sort=False)["estimator"].unique()
            everyone = shown["estimator"].nunique()
            cells = [
                str(row) + (f" by {' and '.join(some)}" if len(some) < everyone else "") for row, some in by.items()
            ]
            yield f"{verdict.capitalize()}, {', '.join(cells)}: {why}."
    for what, table in {"Undefined": undefined, "Judged in another domain, here only described": described}.items():
        if len(table):
            scores = ", ".join(
                f"{score} ({', '.join(filter(None, some['domain'].unique()))})".removesuffix(" ()")
                for score, some in table.groupby("score", sort=False)
            )
            yield f"{what}: {scores}."

"""Score influence matrices: every desideratum with its interval, its p-values and its verdict, as one table."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from influence.desiderata.evaluation import Answer, Question, between, difference, questions, sources, within
from influence.desiderata.spec import Score
from influence.desiderata.units import failed, pair, without, without_in_all
from influence.desiderata.verdict import DESCRIPTIVE, DIAGNOSTIC, UNDECIDED, VOID, judge, why_descriptive
from influence.matrix import InfluenceMatrix


def score(
    matrices: InfluenceMatrix | Sequence[InfluenceMatrix], names: Sequence[str | Score] | None = None, *, seed: int = 0
) -> pd.DataFrame:
    """Score a matrix, or several that differ only in the seed of the base model.

    Several worlds or seeds are the units: each value is a mean, or a ratio of means, over them with Student's
    interval, and p is a sign-flip test. Within one matrix the units are sources: the interval is a
    delete-one-source jackknife, and p the test that the score brings. A score of all worlds together has a
    delete-one-world jackknife. A probe whose row failed is dropped as probe and as target.

    Args:
        matrices: one, or one a seed.
        names: the scores wanted, in this order: names in `SCORES`, names of a desideratum for all its scores, or
            scores of your own; None for all that apply to such samples: no class scores of texts.
        seed: of the random signs and permutations.

    Returns:
        One row a score and condition, with the columns

        ==================  =================================================================================
        desideratum, score  see `influence.desiderata.spec.Score`
        condition           "sigma=0.5", or ""
        value, low, high    with the ends of the 95 % interval
        low_bca, high_bca   a bootstrap's, beside it from 40 units on
        p                   two-sided, of no effect
        n, unit_of_n        units: "worlds", "seeds" or "sources"
        unit, better        of the value; "higher", "lower" or missing
        threshold           c of a primary score
        p_good, p_bad       one-sided, of the good and the bad side of c, where the score is judged
        p_holm              of the side that the value is on, corrected for all scores judged in this table
        p_no_effect         of an effect beyond the margin that counts as none, where the score has a margin
        verdict             see `influence.desiderata.verdict`
        note                why a value is undefined (NaN), an interval missing, or a score not judged
        ==================  =================================================================================

    Raises:
        ValueError: there is no such score, or no matrix.
    """
    matrices = _several(matrices)
    worlds = [world for matrix in matrices for world in matrix.worlds()]
    ids = [failed(world) for world in worlds]
    units = [without(world, its) for world, its in zip(worlds, ids, strict=True)]
    asked = questions(names, units, seed)
    if len(units) == 1:
        unit_of_n, n = "sources", len(sources(units[0]))
        answers = within(units[0], asked)
    else:
        unit_of_n, n = _unit_of_n(matrices, worlds), len(units)
        alike = without_in_all(worlds, ids)
        answers = [between(alike if question.score.of_all_worlds else units, question, unit_of_n) for question in asked]
    rows = []
    for question, answer in zip(asked, answers, strict=True):
        if answer.applies or names is not None:
            judgement, reasons = _judgement(question, answer, matrices, units, n=n, unit_of_n=unit_of_n)
            row = _row(question, answer, units, n=n, unit_of_n=unit_of_n)
            rows.append({**row, **judgement, "note": "; ".join([*answer.notes, *reasons])})
    return judge(_table(rows, units, worlds))


def compare(
    left: InfluenceMatrix | Sequence[InfluenceMatrix],
    right: InfluenceMatrix | Sequence[InfluenceMatrix],
    names: Sequence[str | Score] | None = None,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """How much higher each score is under one condition than under another, in the same worlds or seeds.

    R_left - R_right, each a ratio of means over the units, with Student's interval of the paired effects
    R_left - R_right + u_w(left) - u_w(right), where u_w = (N_w - R D_w) / mean(D) is the effect of unit w on R to
    first order, or that of its jackknife for a score of all worlds together; p by flipping their signs. A probe
    whose row failed on either side is dropped on both.

    >>> compare(prompted, learned, ["symmetry", "negation_leak"])

    Args:
        left: a matrix, or one a seed, of a condition such as prompted or AdamW.
        right: the same worlds, or seeds in the same order, of the condition that is subtracted.
        names: as for `score`.
        seed: of the random signs.

    Returns:
        The columns that `score` returns but for those of verdicts: `value`, `low`, `high` and `p` of the difference,
        `better` as for the score. It is undefined where the score is on either side.

    Raises:
        ValueError: there is no such score, or the sides differ in their worlds, samples or readout, or hold fewer
            than two worlds or seeds.
    """
    lefts, rights = _several(left), _several(right)
    pairs = pair(lefts, rights)
    if len(pairs) < 2:
        raise ValueError(f"expected at least 2 worlds or seeds to compare, got {len(pairs)}; measure more")
    ids = [failed(one) | failed(other) for one, other in pairs]
    worlds, counterparts = ([side[number] for side in pairs] for number in (0, 1))
    ones, others = (
        [without(world, its) for world, its in zip(side, ids, strict=True)] for side in (worlds, counterparts)
    )
    alike = without_in_all(worlds, ids), without_in_all(counterparts, ids)
    unit_of_n, n = _unit_of_n(lefts, worlds), len(worlds)
    rows = []
    for question in questions(names, ones, seed):
        answer = difference(*(alike if question.score.of_all_worlds else (ones, others)), question, unit_of_n)
        if answer.applies or names is not None:
            row = _row(question, answer, ones, n=n, unit_of_n=unit_of_n)
            rows.append({**row, "note": "; ".join(answer.notes)})
    return _table(rows, ones, worlds)


def _several(matrices: InfluenceMatrix | Sequence[InfluenceMatrix]) -> list[InfluenceMatrix]:
    if not isinstance(matrices, InfluenceMatrix) and not matrices:
        raise ValueError("expected at least one influence matrix, got none; measure or load one")
    return [matrices] if isinstance(matrices, InfluenceMatrix) else list(matrices)


def _unit_of_n(matrices: Sequence[InfluenceMatrix], worlds: Sequence[InfluenceMatrix]) -> str:
    return "worlds" if len(worlds) > len(matrices) else "seeds"


def _row(
    question: Question, answer: Answer, units: Sequence[InfluenceMatrix], *, n: int, unit_of_n: str
) -> dict[str, Any]:
    """What a question and its answer say in a table."""
    return {
        "desideratum": question.score.desideratum,
        "score": question.score.name,
        "condition": question.at,
        "value": answer.interval.value,
        "low": answer.interval.low,
        "high": answer.interval.high,
        "low_bca": answer.bootstrap.low,
        "high_bca": answer.bootstrap.high,
        "p": answer.p,
        "n": n,
        "unit_of_n": unit_of_n,
        "unit": _unit(question.score, units[0].readout["unit"]),
        "better": question.score.better,
    }


def _judgement(
    question: Question,
    answer: Answer,
    matrices: Sequence[InfluenceMatrix],
    units: Sequence[InfluenceMatrix],
    *,
    n: int,
    unit_of_n: str,
) -> tuple[dict[str, Any], list[str]]:
    """The columns of a verdict, which the other rows of a card still decide; and why there is none."""
    criterion = question.criterion
    threshold = math.nan if criterion is None else criterion.threshold
    verdict, p_good, p_bad, reasons = DIAGNOSTIC, math.nan, math.nan, []
    if criterion is not None:
        if criterion.gate and len(units) > 1 and (why := criterion.gate(units)):
            verdict, reasons = VOID, [f"{VOID}: {why}"]
        elif why := why_descriptive(criterion, matrices, n=n, unit_of_n=unit_of_n):
            verdict, reasons = DESCRIPTIVE, [f"{DESCRIPTIVE}: {why}"]
        else:
            verdict, p_good, p_bad = UNDECIDED, answer.p_good, answer.p_bad
    judgement = {"threshold": threshold, "p_good": p_good, "p_bad": p_bad, "p_holm": math.nan}
    return judgement | {"p_no_effect": answer.p_no_effect, "verdict": verdict}, [] if answer.notes else reasons


def _table(
    rows: Iterable[dict[str, Any]], units: Sequence[InfluenceMatrix], worlds: Sequence[InfluenceMatrix]
) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    measured, kept = (sum(len(unit.probes) for unit in part) for part in (worlds, units))
    if kept < measured:
        dropped = f"failed probes dropped: {measured - kept} of {measured}"
        table["note"] = [f"{note}; {dropped}" if note else dropped for note in table["note"]]
    return table


def _unit(score: Score, readout: str) -> str:
    """Unit of a score; that of the readout is put in parentheses where it is one of several words in a formula."""
    whole = score.unit == "{readout}" or " " not in readout
    return score.unit.format(readout=readout if whole else f"({readout})")

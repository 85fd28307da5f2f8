"""From matrices to a table of scores: units, intervals, p-values, and why a score is undefined."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float64

from influence.arrays import Array
from influence.desiderata.cells import source
from influence.desiderata.registry import SCORES
from influence.desiderata.spec import Condition, NotApplicableError, Ratio, Score, UndefinedError
from influence.desiderata.units import failed, pair, without
from influence.matrix import InfluenceMatrix
from influence.seeds import generator
from influence.stats.interval import UNDEFINED, Interval
from influence.stats.jackknife import jackknife_ratio_interval
from influence.stats.sign_flip import sign_flip_p
from influence.stats.student import mean_interval, ratio_interval

DESCRIPTIVE = "descriptive"
"""The verdict of a score that is not judged."""

ZERO_DENOMINATOR = "the 95 % interval of the denominator touches 0"


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
        One row a score and condition: `desideratum`, `score`, `condition` ("sigma=0.5", or ""), `value`, `low` and
        `high` of the 95 % interval, `p`, `n` units, `unit_of_n` ("worlds", "seeds" or "sources"), `verdict`,
        `unit`, `better` ("higher", "lower", or missing) and `note`. What is undefined is NaN, and the note says
        why.

    Raises:
        ValueError: there is no such score, or no matrix.
    """
    matrices = _several(matrices)
    worlds = [world for matrix in matrices for world in matrix.worlds()]
    units = [without(world, failed(world)) for world in worlds]
    questions = _questions(names, units, seed)
    if len(units) == 1:
        unit_of_n, n = "sources", len(_sources(units[0]))
        answers = _within(units[0], questions)
    else:
        unit_of_n, n = _unit_of_n(matrices, worlds), len(units)
        answers = [_between(units, question, unit_of_n) for question in questions]
    return _table(questions, answers, units=units, worlds=worlds, n=n, unit_of_n=unit_of_n, all_scores=names is None)


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
        The table that `score` returns: `value`, `low`, `high` and `p` of the difference, `better` as for the
        score. It is undefined where the score is on either side.

    Raises:
        ValueError: there is no such score, or the sides differ in their worlds, samples or readout, or hold fewer
            than two worlds or seeds.
    """
    lefts, rights = _several(left), _several(right)
    pairs = pair(lefts, rights)
    if len(pairs) < 2:
        raise ValueError(f"expected at least 2 worlds or seeds to compare, got {len(pairs)}; measure more")
    worlds, ones, others = [], [], []
    for one, other in pairs:
        ids = failed(one) | failed(other)
        worlds.append(one)
        ones.append(without(one, ids))
        others.append(without(other, ids))
    questions, unit_of_n, n = _questions(names, ones, seed), _unit_of_n(lefts, worlds), len(worlds)
    answers = [_difference(ones, others, question, unit_of_n) for question in questions]
    return _table(questions, answers, units=ones, worlds=worlds, n=n, unit_of_n=unit_of_n, all_scores=names is None)


@dataclass(frozen=True)
class _Answer:
    interval: Interval
    p: float = math.nan
    notes: tuple[str, ...] = ()
    applies: bool = True


@dataclass(frozen=True)
class _Question:
    """A score at a condition."""

    score: Score
    condition: Condition
    seed: int

    @property
    def at(self) -> str:
        return ", ".join(
            f"{name}={value if isinstance(value, str) else format(value, 'g')}"
            for name, value in self.condition.items()
        )

    def measure(self, *worlds: InfluenceMatrix) -> Ratio | UndefinedError:
        try:
            return self.score.measure(*worlds, **self.condition)
        except UndefinedError as reason:
            return reason

    def generator(self) -> np.random.Generator:
        return generator(self.seed, self.score.name, self.at)


def _several(matrices: InfluenceMatrix | Sequence[InfluenceMatrix]) -> list[InfluenceMatrix]:
    if not isinstance(matrices, InfluenceMatrix) and not matrices:
        raise ValueError("expected at least one influence matrix, got none; measure or load one")
    return [matrices] if isinstance(matrices, InfluenceMatrix) else list(matrices)


def _unit_of_n(matrices: Sequence[InfluenceMatrix], worlds: Sequence[InfluenceMatrix]) -> str:
    return "worlds" if len(worlds) > len(matrices) else "seeds"


def _questions(names: Sequence[str | Score] | None, units: Sequence[InfluenceMatrix], seed: int) -> list[_Question]:
    return [_Question(chosen, condition, seed) for chosen in _chosen(names) for condition in chosen.conditions(units)]


def _chosen(names: Sequence[str | Score] | None) -> list[Score]:
    if names is None:
        return list(SCORES.values())
    chosen: list[Score] = []
    for name in names:
        known = [score for score in SCORES.values() if name in (score.name, score.desideratum)]
        if isinstance(name, str) and not known:
            desiderata = dict.fromkeys(score.desideratum for score in SCORES.values())
            raise ValueError(
                f"expected scores among {', '.join(SCORES)}, or all those of {', '.join(desiderata)}, got {name!r}"
            )
        chosen += [name] if isinstance(name, Score) else known
    return chosen


def _table(
    questions: Iterable[_Question],
    answers: Iterable[_Answer],
    *,
    units: Sequence[InfluenceMatrix],
    worlds: Sequence[InfluenceMatrix],
    n: int,
    unit_of_n: str,
    all_scores: bool,
) -> pd.DataFrame:
    """One row an answer; where all scores were asked for, those that do not apply to such samples have none."""
    measured, kept = (sum(len(unit.probes) for unit in part) for part in (worlds, units))
    dropped = [f"failed probes dropped: {measured - kept} of {measured}"] if kept < measured else []
    return pd.DataFrame(
        {
            "desideratum": question.score.desideratum,
            "score": question.score.name,
            "condition": question.at,
            "value": answer.interval.value,
            "low": answer.interval.low,
            "high": answer.interval.high,
            "p": answer.p,
            "n": n,
            "unit_of_n": unit_of_n,
            "verdict": DESCRIPTIVE,
            "unit": _unit(question.score, units[0].readout["unit"]),
            "better": question.score.better,
            "note": "; ".join([*answer.notes, *dropped]),
        }
        for question, answer in zip(questions, answers, strict=True)
        if answer.applies or not all_scores
    )


def _sources(matrix: InfluenceMatrix) -> list[object]:
    return list(dict.fromkeys([*source(matrix.probes), *source(matrix.targets)]))


def _within(matrix: InfluenceMatrix, questions: Sequence[_Question]) -> list[_Answer]:
    """Answers from one matrix, whose sources are the units."""
    whole = [question.measure(matrix) for question in questions]
    parts: list[list[Ratio | UndefinedError]] = [[] for _ in questions]
    for left_out in _sources(matrix):
        rest = matrix.select(probes=source(matrix.probes) != left_out, targets=source(matrix.targets) != left_out)
        for question, outcome, of_rest in zip(questions, whole, parts, strict=True):
            if question.score.smooth and isinstance(outcome, Ratio):
                of_rest.append(question.measure(rest))
    answers = []
    for question, outcome, of_rest in zip(questions, whole, parts, strict=True):
        answer = _jackknife(outcome, of_rest, "source")
        if question.score.test is not None and not math.isnan(answer.interval.value):
            answer = replace(answer, p=question.score.test(matrix, question.generator(), **question.condition))
        answers.append(answer)
    return answers


def _jackknife(whole: Ratio | UndefinedError, without_one: Sequence[Ratio | UndefinedError], left_out: str) -> _Answer:
    """The score of the whole, with its interval from what it is without each source, or world."""
    if isinstance(whole, UndefinedError):
        return _undefined(whole)
    notes = []
    interval = Interval(whole.value, math.nan, math.nan)
    parts = [part for part in without_one if isinstance(part, Ratio)]
    if len(parts) < len(without_one):
        reason = next(part for part in without_one if isinstance(part, UndefinedError))
        notes.append(f"no interval: without one {left_out}, {reason}")
    elif len(parts) > 1:
        interval = jackknife_ratio_interval(
            whole.numerator,
            whole.denominator,
            np.array([part.numerator for part in parts]),
            np.array([part.denominator for part in parts]),
        )
    if math.isnan(interval.value):
        return _undefined(UndefinedError(ZERO_DENOMINATOR))
    return _Answer(interval, notes=tuple(notes))


def _between(units: Sequence[InfluenceMatrix], question: _Question, unit_of_n: str) -> _Answer:
    """The answer from several worlds or seeds, which are the units."""
    if question.score.of_all_worlds and unit_of_n == "worlds":
        parts = [question.measure(*rest) for rest in _without_one(units)]
        return _jackknife(question.measure(*units), parts, "world")
    try:
        numerator_W, denominator_W = _by_unit(units, question, unit_of_n)
    except UndefinedError as reason:
        return _undefined(reason)
    interval = ratio_interval(numerator_W, denominator_W)
    if math.isnan(interval.value):
        return _undefined(UndefinedError(ZERO_DENOMINATOR))
    if question.score.null is None:
        return _Answer(interval)
    return _Answer(interval, sign_flip_p(numerator_W - question.score.null * denominator_W, question.generator()))


def _difference(
    left: Sequence[InfluenceMatrix], right: Sequence[InfluenceMatrix], question: _Question, unit_of_n: str
) -> _Answer:
    """How much higher the score is on the left, from units of which each is on both sides."""
    value, effect_W = 0.0, np.zeros(len(left))
    for side, units, sign in (("left", left, 1), ("right", right, -1)):
        try:
            side_value, side_effect_W = _linearised(units, question, unit_of_n)
        except UndefinedError as reason:
            return _undefined(reason, f"{side}: ")
        value, effect_W = value + sign * side_value, effect_W + sign * side_effect_W
    contrast_W = value + effect_W
    return _Answer(mean_interval(contrast_W), sign_flip_p(contrast_W, question.generator()))


def _linearised(
    units: Sequence[InfluenceMatrix], question: _Question, unit_of_n: str
) -> tuple[float, Float64[Array, " W"]]:
    """A score over its units, and the first-order effect of each unit on it; these sum to 0.

    Raises:
        UndefinedError: the score is undefined in a unit, or over them.
    """
    if question.score.of_all_worlds and unit_of_n == "worlds":
        whole, *parts = (question.score.measure(*some, **question.condition) for some in (units, *_without_one(units)))
        value_W = np.array([part.value for part in parts])
        return whole.value, (len(units) - 1) * (value_W.mean() - value_W)
    numerator_W, denominator_W = _by_unit(units, question, unit_of_n)
    ratio = ratio_interval(numerator_W, denominator_W).value
    if math.isnan(ratio):
        raise UndefinedError(ZERO_DENOMINATOR)
    return ratio, (numerator_W - ratio * denominator_W) / denominator_W.mean()


def _without_one(units: Sequence[InfluenceMatrix]) -> list[list[InfluenceMatrix]]:
    """The units but for one, each left out in turn."""
    return [[*units[:number], *units[number + 1 :]] for number in range(len(units))]


def _by_unit(
    units: Sequence[InfluenceMatrix], question: _Question, unit_of_n: str
) -> tuple[Float64[Array, " W"], Float64[Array, " W"]]:
    """Numerator and denominator of a score in every unit.

    Raises:
        UndefinedError: it is undefined in one; to go on with the others would select them by what is measured.
    """
    outcomes = [question.measure(unit) for unit in units]
    reasons = [outcome for outcome in outcomes if isinstance(outcome, UndefinedError)]
    if reasons:
        kind = NotApplicableError if isinstance(reasons[0], NotApplicableError) else UndefinedError
        raise kind(f"{reasons[0]} (in {len(reasons)} of {len(units)} {unit_of_n})")
    ratios = [outcome for outcome in outcomes if isinstance(outcome, Ratio)]
    return np.array([ratio.numerator for ratio in ratios]), np.array([ratio.denominator for ratio in ratios])


def _unit(score: Score, readout: str) -> str:
    """Unit of a score; that of the readout is put in parentheses where it is one of several words in a formula."""
    whole = score.unit == "{readout}" or " " not in readout
    return score.unit.format(readout=readout if whole else f"({readout})")


def _undefined(reason: UndefinedError, where: str = "") -> _Answer:
    applies = not isinstance(reason, NotApplicableError)
    return _Answer(UNDEFINED, notes=(f"undefined: {where}{reason}",), applies=applies)

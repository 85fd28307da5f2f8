"""From matrices to a table of scores: units, intervals, p-values, and why a score is undefined."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from influence.desiderata.cells import source
from influence.desiderata.registry import SCORES
from influence.desiderata.spec import Condition, Ratio, Score, UndefinedError
from influence.matrix import InfluenceMatrix
from influence.seeds import generator
from influence.stats.interval import UNDEFINED, Interval
from influence.stats.jackknife import jackknife_ratio_interval
from influence.stats.sign_flip import sign_flip_p
from influence.stats.student import ratio_interval

DESCRIPTIVE = "descriptive"
"""The verdict of a score that is not judged."""

ZERO_DENOMINATOR = "the 95 % interval of the denominator touches 0"


def score(
    matrices: InfluenceMatrix | Sequence[InfluenceMatrix], names: Sequence[str | Score] | None = None, *, seed: int = 0
) -> pd.DataFrame:
    """Score a matrix, or several that differ only in the seed of the base model.

    Several worlds or seeds are the units: each value is a mean, or a ratio of means, over them with Student's
    interval, and p is a sign-flip test. Within one matrix the units are sources: the interval is a
    delete-one-source jackknife, and p the test that the score brings. A probe whose row failed is dropped as
    probe and as target.

    Args:
        matrices: one, or one a seed.
        names: the scores wanted, in this order: names in `SCORES`, names of a desideratum for all its scores, or
            scores of your own; None for all.
        seed: of the random signs and permutations.

    Returns:
        One row a score and condition: `desideratum`, `score`, `condition` ("sigma=0.5", or ""), `value`, `low` and
        `high` of the 95 % interval, `p`, `n` units, `unit_of_n` ("worlds", "seeds" or "sources"), `verdict`,
        `unit`, `better` ("higher", "lower", or missing) and `note`. What is undefined is NaN, and the note says
        why.

    Raises:
        ValueError: there is no such score, or no matrix.
    """
    matrices = [matrices] if isinstance(matrices, InfluenceMatrix) else list(matrices)
    if not matrices:
        raise ValueError("expected at least one influence matrix, got none; measure or load one")
    worlds = [world for matrix in matrices for world in matrix.worlds()]
    units = [without_failures(world) for world in worlds]
    questions = [
        _Question(chosen, condition, seed) for chosen in _chosen(names) for condition in chosen.conditions(units)
    ]
    if len(units) == 1:
        unit_of_n, n = "sources", len(_sources(units[0]))
        answers = _within(units[0], questions)
    else:
        unit_of_n, n = "worlds" if len(worlds) > len(matrices) else "seeds", len(units)
        answers = [_between(units, question, unit_of_n) for question in questions]
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
            "unit": question.score.unit.format(readout=units[0].readout["unit"]),
            "better": question.score.better,
            "note": "; ".join([*answer.notes, *dropped]),
        }
        for question, answer in zip(questions, answers, strict=True)
    )


def without_failures(matrix: InfluenceMatrix) -> InfluenceMatrix:
    """The matrix without the samples whose row failed, neither as probes nor as targets."""
    failed_P = ~np.isfinite(matrix.gain).all(1) | ~np.isfinite(matrix.self_gain)
    failed = matrix.probes["id"][failed_P]
    return matrix.select(probes=~failed_P, targets=~matrix.targets["id"].isin(failed).to_numpy())


def mean_world(worlds: Sequence[InfluenceMatrix]) -> InfluenceMatrix:
    """The first of equally shaped worlds, its gains replaced by the mean over the worlds, cell by cell."""
    gain_PT = np.mean([world.gain for world in worlds], axis=0)
    blocks = [replace(block, gain_PT=gain_PT[block.probes, block.targets]) for block in worlds[0].blocks]
    return replace(worlds[0], blocks=blocks)


@dataclass(frozen=True)
class _Answer:
    interval: Interval
    p: float = math.nan
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Question:
    """A score at a condition."""

    score: Score
    condition: Condition
    seed: int

    @property
    def at(self) -> str:
        return ", ".join(f"{name}={value:g}" for name, value in self.condition.items())

    def measure(self, matrix: InfluenceMatrix) -> Ratio | UndefinedError:
        try:
            return self.score.measure(matrix, **self.condition)
        except UndefinedError as reason:
            return reason

    def generator(self) -> np.random.Generator:
        return generator(self.seed, self.score.name, self.at)


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


def _sources(matrix: InfluenceMatrix) -> list[object]:
    return list(dict.fromkeys([*source(matrix.probes), *source(matrix.targets)]))


def _within(matrix: InfluenceMatrix, questions: Sequence[_Question]) -> list[_Answer]:
    """Answers from one matrix, whose sources are the units."""
    whole = [question.measure(matrix) for question in questions]
    without: list[list[Ratio | UndefinedError]] = [[] for _ in questions]
    for left_out in _sources(matrix):
        part = matrix.select(probes=source(matrix.probes) != left_out, targets=source(matrix.targets) != left_out)
        for question, outcome, parts in zip(questions, whole, without, strict=True):
            if question.score.smooth and isinstance(outcome, Ratio):
                parts.append(question.measure(part))
    return [
        _within_answer(matrix, question, outcome, parts)
        for question, outcome, parts in zip(questions, whole, without, strict=True)
    ]


def _within_answer(
    matrix: InfluenceMatrix,
    question: _Question,
    whole: Ratio | UndefinedError,
    without: Sequence[Ratio | UndefinedError],
) -> _Answer:
    if isinstance(whole, UndefinedError):
        return _undefined(str(whole))
    notes = []
    interval = Interval(whole.value, math.nan, math.nan)
    parts = [part for part in without if isinstance(part, Ratio)]
    if len(parts) < len(without):
        reason = next(part for part in without if isinstance(part, UndefinedError))
        notes.append(f"no interval: without one source, {reason}")
    elif len(parts) > 1:
        interval = jackknife_ratio_interval(
            whole.numerator,
            whole.denominator,
            np.array([part.numerator for part in parts]),
            np.array([part.denominator for part in parts]),
        )
    if math.isnan(interval.value):
        return _undefined(ZERO_DENOMINATOR)
    if question.score.test is None:
        return _Answer(interval, notes=tuple(notes))
    p = question.score.test(matrix, question.generator(), **question.condition)
    return _Answer(interval, p, tuple(notes))


def _between(units: Sequence[InfluenceMatrix], question: _Question, unit_of_n: str) -> _Answer:
    """The answer from several worlds or seeds, which are the units."""
    if question.score.of_mean_world and unit_of_n == "worlds":
        if len({unit.gain.shape for unit in units}) > 1:
            return _undefined("expected worlds of one shape for their mean matrix, got several")
        mean = mean_world(units)
        return _within_answer(mean, question, question.measure(mean), [])
    outcomes = [question.measure(unit) for unit in units]
    reasons = [outcome for outcome in outcomes if isinstance(outcome, UndefinedError)]
    if reasons:  # to go on with the other units would be to select them by what is measured
        return _undefined(f"{reasons[0]} (in {len(reasons)} of {len(units)} {unit_of_n})")
    ratios = [outcome for outcome in outcomes if isinstance(outcome, Ratio)]
    numerator_W = np.array([ratio.numerator for ratio in ratios])
    denominator_W = np.array([ratio.denominator for ratio in ratios])
    interval = ratio_interval(numerator_W, denominator_W)
    if math.isnan(interval.value):
        return _undefined(ZERO_DENOMINATOR)
    if question.score.null is None:
        return _Answer(interval)
    return _Answer(interval, sign_flip_p(numerator_W - question.score.null * denominator_W, question.generator()))


def _undefined(reason: str) -> _Answer:
    return _Answer(UNDEFINED, notes=(f"undefined: {reason}",))
